"""ABFConnector: ReviewKD's attention-based fusion."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_det.checks import check_count
from kd_det.connectors.base import Connector
from kd_det.errors import UserError
from kd_det.registry import MODELS

MAX_MID = 512


@MODELS.register_module()
class ABFConnector(Connector):
    r"""Fuse the student's levels, deepest first, to match the teacher's.

    With :math:`F_i` the student's map at level i and :math:`r_{i+1}` the
    residual of the next deeper level, resized to the size of :math:`F_i`:

    .. math::
        x_i &= \mathrm{BN}(\mathrm{conv}_{1 \times 1} F_i), \qquad
        (a, b) = \sigma(\mathrm{conv}_{1 \times 1} [x_i, r_{i+1}]) \\
        r_i &= \mathrm{resize}(a \, x_i + b \, r_{i+1}), \qquad
        y_i = \mathrm{BN}(\mathrm{conv}_{3 \times 3} \, r_i)

    a and b are single-channel attention maps that need not sum to 1; at the
    deepest level :math:`r_i = \mathrm{resize}(x_i)`. :math:`y_i` is compared
    with the teacher's level. Resizing uses nearest-neighbour interpolation.

    Sizes are taken from the maps. :math:`r_i` is resized to the teacher's
    level if the sizes differ, as in the authors' classification code; in their
    detection code the levels of both FPNs have equal sizes, so no resizing is
    needed.

    Args:
        in_channels: Channels of the student's levels, from shallow to deep.
        out_channels: Channels of the teacher's levels.
        mid_channels: Channels of x and r; default: min(512,
            ``in_channels[-1]``).

    Raises:
        UserError: The channels are not two lists of positive integers of the
            same length.

    Paper: https://arxiv.org/abs/2104.09044

    Differs from the authors' code: sizes need not be given, and maps need not
    be square.
    """

    on_maps = True

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: Sequence[int],
        mid_channels: int | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels)
        self.check_levels()
        if mid_channels is None:
            mid_channels = min(MAX_MID, in_channels[-1])
        check_count(self, 'mid_channels', mid_channels, 1)
        deepest = len(in_channels) - 1
        self.blocks = nn.ModuleList(
            _ABF(ours, mid_channels, theirs, fuse=i < deepest)
            for i, (ours, theirs) in enumerate(zip(in_channels, out_channels))
        )

    def forward(
        self, field: Sequence[Tensor], like: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Return feature maps with the teacher's shapes, shallow to deep.

        Args:
            field: Student feature maps (N, C, H, W), from shallow to deep.
            like: The same number of teacher feature maps; only their shapes
                are used.

        Raises:
            UserError: The number of levels or channels differs from the
                constructor's, or batch norm would get a single pixel in
                training.
        """
        if not len(field) == len(like) == len(self.blocks):
            raise UserError(
                f'ABFConnector was built for {len(self.blocks)} levels, but '
                f'got {len(field)} of the student and {len(like)} of the '
                'teacher; set the same number of tap points for both.'
            )
        fused, deeper = [], None
        for level in reversed(range(len(field))):
            self.check_shapes(field[level], like[level], level)
            self.check_batch(field[level])
            size = like[level].shape[2:]
            out, deeper = self.blocks[level](field[level], deeper, size)
            fused.append(out)
        return tuple(reversed(fused))


class _ABF(nn.Module):
    """Fusion of one level with the residual of the deeper level."""

    def __init__(
        self, in_channels: int, mid: int, out_channels: int, fuse: bool
    ) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, mid, 1, bias=False)
        self.reduce_norm = nn.BatchNorm2d(mid)
        self.attention = nn.Conv2d(2 * mid, 2, 1) if fuse else None
        self.expand = nn.Conv2d(mid, out_channels, 3, padding=1, bias=False)
        self.expand_norm = nn.BatchNorm2d(out_channels)
        for conv in (self.reduce, self.expand):
            nn.init.kaiming_uniform_(conv.weight, a=1)

    def forward(
        self, x: Tensor, deeper: Tensor | None, size: torch.Size
    ) -> tuple[Tensor, Tensor]:
        """Return the output of this level and its residual."""
        x = self.reduce_norm(self.reduce(x))
        if self.attention is not None and deeper is not None:
            deeper = _resize(deeper, x.shape[2:])
            gates = self.attention(torch.cat([x, deeper], 1)).sigmoid()
            x = x * gates[:, :1] + deeper * gates[:, 1:]
        x = _resize(x, size)
        return self.expand_norm(self.expand(x)), x


def _resize(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[2:] == size else F.interpolate(x, size, mode='nearest')
