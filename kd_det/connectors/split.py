"""ChannelSplit: which channels inherit, and which explore."""

from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor, nn

from kd_det.checks import check_choice
from kd_det.errors import UserError

ORDERS = ('natural', 'random')


class ChannelSplit(nn.Module):
    """Divide the channels of maps in two sets, once and for all.

    The sets are buffers, so that a checkpoint remembers them.

    Args:
        channels: Of the maps, one a level.
        ratio: Share of the channels that inherit, from 0 to 1; the count is
            rounded down.
        order: ``'natural'``: the first ones inherit; ``'random'``: the sets
            are drawn when this is built.

    Raises:
        UserError: An argument is none of the accepted.

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
            # sorted: a set has no order
            for half, own in zip(
                ('inherit', 'explore'), indices.split([first, count - first])
            ):
                self.register_buffer(f'{half}{level}', own.sort().values)

    def forward(
        self, maps: Sequence[Tensor]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the maps of the channels that inherit, and of the others.

        Args:
            maps: The levels, (N, C, H, W) or (N, C).
        """
        return self._half('inherit', maps), self._half('explore', maps)

    def _half(self, half: str, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(
            feature_map.index_select(1, getattr(self, f'{half}{level}'))
            for level, feature_map in enumerate(maps)
        )


def check_split(split: dict) -> dict:
    """Return the arguments of a split, with those that are not named.

    Args:
        split: ``ratio`` and ``order``, see :class:`ChannelSplit`.

    Raises:
        UserError: It is no dict, has other keys or values.
    """
    if not isinstance(split, dict) or {*split} - {'ratio', 'order'}:
        raise UserError(
            f"split={split!r}; a dict of 'ratio' and 'order' is accepted, "
            "such as dict(ratio=0.5, order='natural')."
        )
    split = dict(dict(ratio=0.5, order='natural'), **split)
    inheriting(1, split['ratio'])
    check_choice('split', 'order', split['order'], ORDERS)
    return split


def inheriting(channels: int, ratio: float) -> int:
    """Return how many of a number of channels inherit.

    Args:
        channels: Of a map.
        ratio: See :class:`ChannelSplit`.

    Raises:
        UserError: The ratio is no number from 0 to 1.
    """
    if not (isinstance(ratio, Real) and 0 <= ratio <= 1):
        raise UserError(
            f'split has ratio={ratio!r}; a number from 0 (all explore) to 1 '
            '(all inherit) is accepted.'
        )
    # 100 * 0.29 is a little less than 29 in floating point
    return int(channels * ratio + 1e-9)
