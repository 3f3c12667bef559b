"""MGDConnector: generates the teacher's maps from masked student maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kd_det.connectors.align import AlignConnector
from kd_det.connectors.base import Connector, Field
from kd_det.errors import UserError
from kd_det.random_state import OwnNumbers
from kd_det.registry import MODELS


@MODELS.register_module()
class MGDConnector(Connector):
    r"""Mask positions at random, then generate the map with two convolutions.

    .. math::
        y = \mathrm{conv}_{3 \times 3}(\mathrm{ReLU}(
            \mathrm{conv}_{3 \times 3}(m \odot \mathrm{align}(x))))

    A mask m, 0 with probability ``mask_ratio`` at each position and shared by
    all channels, is drawn in each step. It has its own random generator, so
    the student's random numbers do not change. Nothing is masked in eval mode.
    The alignment is that of :class:`AlignConnector`.

    Args:
        in_channels: Channels of the student's levels.
        out_channels: Channels of the teacher's levels.
        mask_ratio: Probability that a position is masked, in [0, 1); lambda in
            the paper.

    Raises:
        UserError: The channels are not two lists of positive integers of the
            same length, or the ratio is out of range.

    Paper: https://arxiv.org/abs/2205.01529
    """

    on_maps = True

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: Sequence[int],
        mask_ratio: float = 0.65,
    ) -> None:
        super().__init__(in_channels, out_channels)
        if not isinstance(mask_ratio, (int, float)) or not 0 <= mask_ratio < 1:
            raise UserError(
                f'MGDConnector: mask_ratio={mask_ratio!r}; a number in [0, 1) '
                'is accepted.'
            )
        self.mask_ratio = mask_ratio
        self.align = AlignConnector(in_channels, out_channels)
        self.blocks = nn.ModuleList(map(_generation, out_channels))
        self.numbers = OwnNumbers()

    def forward(self, field: Field, like: Field) -> tuple[Tensor, ...]:
        """Return feature maps with the teacher's shapes.

        Args:
            field: Student feature maps (N, C, H, W).
            like: Teacher feature maps; only their shapes are used.

        Raises:
            UserError: The number of levels or channels differs from the
                constructor's.
        """
        levels = self.align(field, like)
        if self.training:
            with self.numbers.drawn():
                levels = [level * self._mask(level) for level in levels]
        return tuple(block(x) for block, x in zip(self.blocks, levels))

    def _mask(self, level: Tensor) -> Tensor:
        """Return 1 for the positions to keep, 0 for the others."""
        drawn = torch.rand_like(level[:, :1], dtype=torch.float32)
        return (drawn >= self.mask_ratio).to(level.dtype)


def _generation(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1),
    )
