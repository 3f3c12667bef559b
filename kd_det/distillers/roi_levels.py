"""The pyramid levels of RoIs, asked of the device only once."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# The extractor whose way of choosing a level is known here.
KNOWN = 'SingleRoIExtractor'


def level_points(extractor: nn.Module, path: str) -> dict[str, str]:
    """Return the points that record the RoIs of each level.

    Args:
        extractor: RoI extractor of the student.
        path: To it.

    Returns:
        Empty for an extractor of another kind, or of one level.
    """
    if type(extractor).__name__ != KNOWN or len(extractor.roi_layers) == 1:
        return {}
    numbers = range(len(extractor.roi_layers))
    return {f'level{i}_': f'{path}.roi_layers.{i}:input' for i in numbers}


def rois_by_level(records: dict[str, list], keys: list[str]) -> list[Tensor]:
    """Return the RoIs that the student's extractor found on each level.

    Args:
        records: Of a tap at :func:`level_points`.
        keys: Names of these points.
    """
    # a level without RoIs is not called; RoIs of masks come second
    calls = [records[key][0][1] if records[key] else None for key in keys]
    found = [call for call in calls if call is not None]
    return [found[0][:0] if call is None else call for call in calls if found]


@contextmanager
def on_levels(extractor: nn.Module, parts: list[Tensor]) -> Iterator[None]:
    """Make a teacher's extractor take each RoI on the student's level.

    The plain extractor waits for the device once a level, to learn how many
    RoIs lie there. The student's has just learnt it of the same RoIs.

    Args:
        extractor: Left alone if it chooses levels in another way.
        parts: The student's RoIs of each level; empty if not known.
    """
    known = (
        parts
        and type(extractor).__name__ == KNOWN
        and len(extractor.roi_layers) == len(parts)
    )
    if not known:
        yield
        return
    plain = extractor.forward

    def forward(feats, rois, roi_scale_factor=None):
        if sum(map(len, parts)) != len(rois):
            return plain(feats, rois, roi_scale_factor)
        return _extract(extractor, feats, rois, parts, roi_scale_factor)

    extractor.forward = forward
    try:
        yield
    finally:
        del extractor.forward


def _extract(
    extractor: nn.Module,
    feats: tuple[Tensor, ...],
    rois: Tensor,
    parts: list[Tensor],
    factor: float | None,
) -> Tensor:
    # in the type in which the student's extractor had them
    levels = extractor.map_roi_levels(rois.to(parts[0].dtype), len(parts))
    order = levels.argsort(stable=True)
    if factor is not None:
        rois = extractor.roi_rescale(rois, factor)
    shares = rois.type_as(feats[0])[order].split([len(p) for p in parts])
    pooled = [
        layer(maps, share)
        for layer, maps, share in zip(extractor.roi_layers, feats, shares)
        if len(share)
    ]
    pooled = torch.cat(pooled).to(feats[0].dtype)
    return torch.empty_like(pooled).index_copy_(0, order, pooled)
