"""Finds the feature levels of two networks and matches them by stride."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kd_det import random_state
from kd_det.errors import UserError
from kd_det.taps import FeatureTap

PROBE = 128  # size of the blank image, in pixels
LARGE = 320  # size for networks that need larger images, such as SSD
LONG = 1024  # width to distinguish strides above 128
# of a DETR, which run after extract_feat
ENCODER, HEAD = 'encoder', 'bbox_head'
HEAD_INPUTS = ('hidden_states', 'references')


class Level(NamedTuple):
    """A feature map of a network for an image of a certain width."""

    channels: int
    size: tuple[int, int]
    probe: int = PROBE

    @property
    def stride(self) -> int:
        """Stride in pixels; the image width for a vector."""
        return round(self.probe / self.size[1])


def levels_at(
    model: nn.Module, points: dict[str, str], side: str = 'network'
) -> list[Level]:
    """Return the feature maps at tap points of a network.

    The network is run on a blank image and not changed.

    Args:
        model: Network with ``extract_feat``.
        points: Name -> tap point, see ``FeatureTap``.
        side: Name of the network in messages.

    Raises:
        UserError: A point gives no feature map, or the network fails.
    """

    def show(image: Tensor) -> tuple[tuple[Tensor, ...], None]:
        shape = tuple(image.shape[2:])
        sample = SimpleNamespace(batch_input_shape=shape, img_shape=shape)
        with FeatureTap(model, with_sizes(points)) as records:
            feats = model.extract_feat(image)
            run_transformer(model, feats, [sample], points)
        return _checked(model, points, records), None

    maps, _, width = probe(model, show, side)
    return [Level(m.shape[1], tuple(m.shape[2:]), width) for m in maps]


def probe(
    model: nn.Module,
    show: Callable[[Tensor], tuple[Sequence[Tensor], Any]],
    side: str,
) -> tuple[Sequence[Tensor], Any, int]:
    """Run a network on a blank image that is wide enough for its strides.

    The network is not changed.

    Args:
        model: The network.
        show: Function from an image (1, 3, H, W), or (1, 1, H, W) for
            greyscale networks, to the feature maps (1, C, h, w) and any other
            result.
        side: Name of the network in messages.

    Returns:
        The results of ``show``, and the last image width W.

    Raises:
        UserError: The network fails on such images.
    """
    modes = {module: module.training for module in model.modules()}
    empty = next(model.parameters()).new_zeros
    channels = colours(model)
    model.eval()
    try:
        with random_state.isolated(), torch.no_grad():
            try:
                size = PROBE, PROBE
                maps, rest = show(empty(1, channels, *size))
            except RuntimeError:  # smaller than some kernel
                size = LARGE, LARGE
                maps, rest = show(empty(1, channels, *size))
            if sum(level.shape[-1] == 1 for level in maps) > 1:
                size = size[0], LONG  # a single row of cells, so it is cheap
                maps, rest = show(empty(1, channels, *size))
    except (RuntimeError, AssertionError) as error:
        raise _misfit(model, empty(1, channels, *size), side, error) from error
    finally:
        for module, training in modes.items():
            module.training = training
    return maps, rest, size[1]


def colours(model: nn.Module) -> int:
    """Return the number of image channels, from the first convolution."""
    stem = (m for m in model.modules() if isinstance(m, nn.Conv2d))
    return 1 if getattr(next(stem, None), 'in_channels', 3) == 1 else 3


@torch.no_grad()
def _misfit(
    model: nn.Module, image: Tensor, side: str, error: Exception
) -> UserError:
    """Explain why a network fails on a blank image.

    Usually its neck was configured for another backbone.
    """
    taken = getattr(getattr(model, 'neck', None), 'in_channels', None)
    try:
        given = [m.shape[1] for m in model.backbone(image)]
    except (AttributeError, RuntimeError, TypeError):
        given = None
    several = isinstance(taken, (list, tuple)) and given is not None
    if several and given != [*taken]:
        return UserError(
            f"The {side}'s backbone has output channels {given}, but its "
            f'neck.in_channels is {[*taken]}; set '
            f'{side}.neck.in_channels={given}.'
        )
    what = ' '.join(str(error).split())
    return UserError(
        f'The {side} {type(model).__name__} fails on a blank image of '
        f'{image.shape[2]} x {image.shape[3]} pixels, which is used to find '
        f'its feature maps: {type(error).__name__}: {what}'
    )


def _checked(
    model: nn.Module, points: dict[str, str], records: dict[str, list]
) -> tuple[Tensor, ...]:
    """Return the recorded feature maps, or raise."""
    silent = [point for name, point in points.items() if not records[name]]
    if silent:
        raise UserError(
            f'Tap point {silent[0]!r} of {type(model).__name__} records '
            'nothing, since extract_feat does not run it; use a point in '
            "the backbone or neck, or the 'encoder' of a DETR."
        )
    maps = maps_of(records)
    for level in maps:
        if not isinstance(level, Tensor) or level.ndim != 4:
            what = getattr(level, 'shape', type(level).__name__)
            raise UserError(
                f'A tap point of {type(model).__name__} gives {what}; maps '
                '(N, C, H, W) or vectors (N, C) are accepted.'
            )
    return maps


def is_deep(points: dict[str, str]) -> bool:
    """Return whether a tap point is in the encoder of a DETR."""
    return any(point.startswith(ENCODER) for point in points.values())


def with_sizes(points: dict[str, str]) -> dict[str, str]:
    """Return the points, plus the neck if tokens must be reshaped."""
    return dict(points, sizes='neck') if is_deep(points) else points


@torch.no_grad()
def run_transformer(
    model: nn.Module, feats: tuple, samples: list, *tapped: dict[str, str]
) -> None:
    """Run as much of a DETR as taps need: all, its encoder, or nothing.

    Args:
        model: The detector.
        feats: Return value of its ``extract_feat``.
        samples: Data samples with ``batch_input_shape`` and ``img_shape``.
        tapped: The tap points of each reader.
    """
    has_queries = hasattr(model, 'forward_transformer')
    if has_queries and any(HEAD in points.values() for points in tapped):
        given = model.forward_transformer(feats, samples)
        model.bbox_head(*[given[key] for key in HEAD_INPUTS if key in given])
    elif any(map(is_deep, tapped)):
        inputs, _ = model.pre_transformer(feats, samples)
        model.forward_encoder(**inputs)


def maps_of(records: dict[str, list]) -> tuple[Tensor, ...]:
    """Return the recorded feature maps, shallow to deep.

    A vector (N, C) is a map of one pixel; the tokens (N, T, C) of an encoder
    are the concatenated maps of the neck.
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
    """Return the pairs of levels with the same stride.

    Args:
        ours: The student's.
        theirs: The teacher's.

    Raises:
        UserError: There is none, or a network has two levels with the same
            stride.
    """
    return match_strides(
        strides(ours),
        strides(theirs),
        'set corresponding tap points with taps=dict(student=[…], '
        'teacher=[…])',
    )


def match_strides(
    ours: tuple[int, ...], theirs: tuple[int, ...], fix: str
) -> list[tuple[int, int]]:
    """Return the index pairs of equal strides in two lists.

    Args:
        ours: The student's strides, in pixels.
        theirs: The teacher's.
        fix: Suggested fix, for the message.

    Raises:
        UserError: There is none, or a network has two levels with the same
            stride.
    """
    for side, own in (('student', ours), ('teacher', theirs)):
        if len({*own}) < len(own):
            raise UserError(
                f"The {side}'s levels have the strides {own}: two are equal, "
                f'so the match is ambiguous; {fix}.'
            )
    pairs = [(i, theirs.index(s)) for i, s in enumerate(ours) if s in theirs]
    if not pairs:
        raise UserError(
            f"The student's levels have the strides {ours}, the teacher's "
            f'{theirs}: none in common; {fix}.'
        )
    return pairs


def strides(levels: list[Level]) -> tuple[int, ...]:
    """Return the strides of levels, in pixels."""
    return tuple(level.stride for level in levels)


def table(
    ours: list[Level], theirs: list[Level], pairs: list[tuple[int, int]]
) -> str:
    """Return the table of matched levels for the log.

    Args:
        ours: The student's.
        theirs: The teacher's.
        pairs: Pairs from :func:`match_levels`.
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
