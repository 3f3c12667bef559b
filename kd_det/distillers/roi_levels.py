"""Pyramid levels of RoIs, with a single synchronisation."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# The extractor whose level assignment is known.
KNOWN = 'SingleRoIExtractor'


def level_points(extractor: nn.Module, path: str) -> dict[str, str]:
    """Return the tap points that record the RoIs of each level.

    Args:
        extractor: RoI extractor of the student.
        path: Path of the extractor.

    Returns:
        Empty for other extractors, or for a single level.
    """
    if type(extractor).__name__ != KNOWN or len(extractor.roi_layers) == 1:
        return {}
    numbers = range(len(extractor.roi_layers))
    return {f'level{i}_': f'{path}.roi_layers.{i}:input' for i in numbers}


def rois_by_level(records: dict[str, list], keys: list[str]) -> list[Tensor]:
    """Return the RoIs that the student's extractor assigned to each level.

    Args:
        records: Records of a tap at :func:`level_points`.
        keys: Names of these tap points.
    """
    # a level without RoIs is not called; RoIs for masks come second
    calls = [records[key][0][1] if records[key] else None for key in keys]
    found = [call for call in calls if call is not None]
    return [found[0][:0] if call is None else call for call in calls if found]


@contextmanager
def on_levels(extractor: nn.Module, parts: list[Tensor]) -> Iterator[None]:
    """Make a teacher's extractor use the student's level for each RoI.

    The original extractor synchronises once per level to find the number of
    RoIs, which is already known from the student's extractor.

    Args:
        extractor: RoI extractor; unchanged if its level assignment is unknown.
        parts: The student's RoIs of each level; empty if unknown.
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
    # in the dtype of the student's extractor
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
