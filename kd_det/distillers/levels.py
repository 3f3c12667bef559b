"""The feature maps of two networks: found by a probe, matched by stride."""

from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kd_det import random_state
from kd_det.errors import UserError
from kd_det.taps import FeatureTap

PROBE = 128  # side of the image that shows the levels, in pixels
LARGE = 320  # of another one, for networks that need more, such as SSD
ENCODER = 'encoder'  # of a DETR: it runs behind extract_feat


class Level(NamedTuple):
    """One map of a network, as a square image of some pixels shows it."""

    channels: int
    size: tuple[int, int]
    probe: int = PROBE

    @property
    def stride(self) -> int:
        """Pixels from cell to cell; those of the image for a vector."""
        return round(self.probe / self.size[1])


def levels_at(model: nn.Module, points: dict[str, str]) -> list[Level]:
    """Return the maps at some points of a network.

    The network is shown one empty image and left as it was.

    Args:
        model: With ``extract_feat``.
        points: Name -> point, see ``FeatureTap``.

    Raises:
        UserError: A point gives nothing, or no map.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        side, records = PROBE, _shown(model.eval(), points, PROBE)
    except RuntimeError:  # smaller than a kernel somewhere
        side, records = LARGE, _shown(model, points, LARGE)
    for module, training in modes.items():
        module.training = training
    silent = [point for name, point in points.items() if not records[name]]
    if silent:
        raise UserError(
            f'Tap point {silent[0]!r} of {type(model).__name__} gives '
            'nothing: extract_feat does not run it; name a point in the '
            "backbone or neck, or the 'encoder' of a DETR."
        )
    maps = maps_of(records)
    for level in maps:
        if not isinstance(level, Tensor) or level.ndim != 4:
            what = getattr(level, 'shape', type(level).__name__)
            raise UserError(
                f'A tap point of {type(model).__name__} gives {what}; maps '
                '(N, C, H, W) or vectors (N, C) are accepted.'
            )
    return [Level(m.shape[1], tuple(m.shape[2:]), side) for m in maps]


def _shown(model: nn.Module, points: dict[str, str], side: int) -> dict:
    """Return what taps record of an empty image."""
    image = next(model.parameters()).new_zeros(1, 3, side, side)
    sample = SimpleNamespace(
        batch_input_shape=(side, side), img_shape=(side, side)
    )
    with random_state.isolated(), torch.no_grad():
        with FeatureTap(model, with_sizes(points)) as records:
            feats = model.extract_feat(image)
            if is_deep(points):
                encode(model, feats, [sample])
    return records


def is_deep(points: dict[str, str]) -> bool:
    """Return whether a point lies in the encoder of a DETR."""
    return any(point.startswith(ENCODER) for point in points.values())


def with_sizes(points: dict[str, str]) -> dict[str, str]:
    """Return the points, and the neck where tokens are to become maps."""
    return dict(points, sizes='neck') if is_deep(points) else points


@torch.no_grad()
def encode(model: nn.Module, feats: tuple, samples: list) -> None:
    """Run the encoder of a DETR, for the taps in it.

    Args:
        model: The detector.
        feats: What its ``extract_feat`` returned.
        samples: With ``batch_input_shape`` and ``img_shape``.
    """
    inputs, _ = model.pre_transformer(feats, samples)
    model.forward_encoder(**inputs)


def maps_of(records: dict[str, list]) -> tuple[Tensor, ...]:
    """Return what taps recorded as maps, shallow to deep.

    A vector (N, C) is a map of one pixel; the tokens (N, T, C) of an encoder
    are the maps of the neck in a row.
    """
    sizes = None
    if 'sizes' in records:
        sizes = [tuple(m.shape[2:]) for m in records['sizes'][0]]
    return tuple(
        level
        for name, record in records.items()
        if name != 'sizes'
        for entry in record
        for part in (entry if isinstance(entry, (tuple, list)) else [entry])
        for level in _as_maps(part, sizes)
    )


def _as_maps(part: Tensor, sizes: list[tuple[int, int]] | None) -> list:
    if not isinstance(part, Tensor) or part.ndim > 3:
        return [part]
    if part.ndim == 2:
        return [part[..., None, None]]
    if sizes is None:
        return [part]
    counts = [height * width for height, width in sizes]
    tokens = part.transpose(1, 2).split(counts, dim=2)
    return [t.unflatten(2, size) for t, size in zip(tokens, sizes)]


def match_levels(
    ours: list[Level], theirs: list[Level]
) -> list[tuple[int, int]]:
    """Return the pairs of levels that have the same stride.

    Args:
        ours: The student's.
        theirs: The teacher's.

    Raises:
        UserError: There is none.
    """
    found = {level.stride: j for j, level in enumerate(theirs)}
    pairs = [
        (i, found[level.stride])
        for i, level in enumerate(ours)
        if level.stride in found
    ]
    if not pairs:
        raise UserError(
            f"The student's maps have the strides {strides(ours)}, the "
            f"teacher's {strides(theirs)}: none in common; name points that "
            'belong together with taps=dict(student=[…], teacher=[…]).'
        )
    return pairs


def strides(levels: list[Level]) -> tuple[int, ...]:
    """Return the strides of levels, in pixels."""
    return tuple(level.stride for level in levels)


def table(
    ours: list[Level], theirs: list[Level], pairs: list[tuple[int, int]]
) -> str:
    """Return, for the log, which level of one belongs to which of the other.

    Args:
        ours: The student's.
        theirs: The teacher's.
        pairs: From :func:`match_levels`.
    """
    lines = [f'{"student":<28}{"teacher":<28}']
    lines += [f'{_name(ours[i]):<28}{_name(theirs[j]):<28}' for i, j in pairs]
    used = {i for i, _ in pairs}, {j for _, j in pairs}
    lines += [
        f'{_name(level):<28}left out'
        for i, level in enumerate(ours)
        if i not in used[0]
    ]
    lines += [
        f'{"left out":<28}{_name(level):<28}'
        for j, level in enumerate(theirs)
        if j not in used[1]
    ]
    return '\n'.join(line.rstrip() for line in lines)


def _name(level: Level) -> str:
    return f'{level.channels} channels, stride {level.stride}'
