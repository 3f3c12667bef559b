"""ChannelSplit: splits channels into an inheriting and an exploring set."""

from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor, nn

from kd_det.checks import check_choice
from kd_det.errors import UserError

ORDERS = ('natural', 'random')


class ChannelSplit(nn.Module):
    """Split the channels of feature maps into two fixed sets.

    The sets are buffers and thus saved in checkpoints.

    Args:
        channels: Channels of the feature maps, one per level.
        ratio: Fraction of inheriting channels, in [0, 1]; their number is
            rounded down.
        order: ``'natural'``: the first channels inherit; ``'random'``: the
            sets are drawn in the constructor.

    Raises:
        UserError: An argument is out of range.

    Paper: https://arxiv.org/abs/2107.00181
    """

    def __init__(
        self,
        channels: Sequence[int],
        ratio: float = 0.5,
        order: str = 'natural',
    ) -> None:
        super().__init__()
        check_choice('split', 'order', order, ORDERS)
        self.levels = len(channels)
        for level, count in enumerate(channels):
            first = inheriting(count, ratio)
            indices = torch.arange(count)
            if order == 'random':
                indices = torch.randperm(count)
            # sorted, since the order does not matter
            for half, own in zip(
                ('inherit', 'explore'), indices.split([first, count - first])
            ):
                self.register_buffer(f'{half}{level}', own.sort().values)

    def forward(
        self, maps: Sequence[Tensor]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the inheriting and the exploring channels.

        Args:
            maps: Feature maps (N, C, H, W) or vectors (N, C), one per level.
        """
        return self._half('inherit', maps), self._half('explore', maps)

    def _half(self, half: str, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(
            feature_map.index_select(1, getattr(self, f'{half}{level}'))
            for level, feature_map in enumerate(maps)
        )


def check_split(split: dict) -> dict:
    """Return the arguments of a split, completed with defaults.

    Args:
        split: Dict with ``ratio`` and ``order``, see :class:`ChannelSplit`.

    Raises:
        UserError: It is not a dict or has unknown keys or values.
    """
    if not isinstance(split, dict) or {*split} - {'ratio', 'order'}:
        raise UserError(
            f"split={split!r}; a dict with 'ratio' and 'order' is accepted, "
            "such as dict(ratio=0.5, order='natural')."
        )
    split = dict(dict(ratio=0.5, order='natural'), **split)
    inheriting(1, split['ratio'])
    check_choice('split', 'order', split['order'], ORDERS)
    return split


def inheriting(channels: int, ratio: float) -> int:
    """Return the number of inheriting channels.

    Args:
        channels: Channels of a feature map.
        ratio: See :class:`ChannelSplit`.

    Raises:
        UserError: The ratio is not a number in [0, 1].
    """
    if not (isinstance(ratio, Real) and 0 <= ratio <= 1):
        raise UserError(
            f'split has ratio={ratio!r}; a number from 0 (all explore) to 1 '
            '(all inherit) is accepted.'
        )
    # 100 * 0.29 is slightly less than 29 in floating point
    return int(channels * ratio + 1e-9)
