"""Coders: what makes factors of feature maps, and maps of factors."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from kd_det.batch_norm import normalized
from kd_det.errors import UserError
from kd_det.masks import fitting, zero_outside

SLOPE = 0.1  # of the leaky ReLU
Masks = Sequence[Tensor | None]


class Coder(nn.Module):
    r"""Three 3x3 convolutions, a leaky ReLU behind each.

    The channels go from :math:`C` to :math:`C`, :math:`m` and :math:`m`.
    With batch norm there is one behind each convolution, and a leaky ReLU
    ahead of the first, as IE-KD has it; without, the convolutions have a
    bias, as FT has it.

    Args:
        in_channels: :math:`C`.
        out_channels: :math:`m`.
        norm: Batch norm.

    Paper: https://arxiv.org/abs/2107.00181

    Differs from the authors' code: without batch norm there is a bias, as in
    that of FT.
    """

    def __init__(
        self, in_channels: int, out_channels: int, norm: bool = True
    ) -> None:
        super().__init__()
        ends = [in_channels, out_channels, out_channels]
        convs = [
            nn.Conv2d(one, other, 3, padding=1, bias=not norm)
            for one, other in zip([in_channels, *ends], ends)
        ]
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(width) if norm else nn.Identity() for width in ends
        )
        self.norm = norm
        for conv in convs:
            nn.init.kaiming_normal_(
                conv.weight, mode='fan_out', nonlinearity='relu'
            )
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the coded map (N, m, H, W).

        Args:
            x: Map (N, C, H, W).
            mask: Which cells count, boolean (N, 1, H, W); the others are
                zero ahead of every convolution and in the result, and no
                statistics count them, so that nothing comes of padding.

        Raises:
            UserError: Batch norm is to train on a single cell.
        """
        if self.norm and self.training and x[:, 0].numel() == 1:
            raise UserError(
                'A coder with batch norm cannot train on one image whose map '
                'is one cell; take batches of two or more (drop_last=True in '
                'train_dataloader), name points with larger maps in taps, or '
                'say norm=False in the distiller.'
            )
        if self.norm:
            x = F.leaky_relu(x, SLOPE)
        for conv, norm in zip(self.convs, self.norms):
            x = normalized(norm, conv(zero_outside(x, mask)), mask)
            x = F.leaky_relu(x, SLOPE)
        return zero_outside(x, mask)


class LevelCoders(nn.Module):
    """A coder for each level, or one for all.

    Args:
        in_channels: One a level.
        out_channels: One a level.
        norm: See :class:`Coder`.
        shared: One coder for all levels, which must have the same channels.

    Raises:
        UserError: The channels are not as needed.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: Sequence[int],
        norm: bool = True,
        shared: bool = False,
    ) -> None:
        super().__init__()
        pairs = [*zip(in_channels, out_channels, strict=True)]
        if shared and len({*pairs}) > 1:
            raise UserError(
                f'shared=True with levels of {list(in_channels)} channels '
                f'and factors of {list(out_channels)}: one coder serves '
                'levels of one width; take shared out, or name points of '
                'equal channels.'
            )
        self.shared = shared
        self.coders = nn.ModuleList(
            Coder(*pair, norm) for pair in (pairs[:1] if shared else pairs)
        )

    def forward(
        self, maps: Sequence[Tensor], masks: Masks | None = None
    ) -> tuple[Tensor, ...]:
        """Return the coded levels.

        Args:
            maps: The levels (N, C, H, W).
            masks: Of each level, or None; see :meth:`Coder.forward`.
        """
        masks = masks or [None] * len(maps)
        # a teacher may compute in half precision, an auto-encoder does not
        dtype = next(self.parameters()).dtype
        return tuple(
            self.coders[0 if self.shared else level](
                x.to(dtype), fitting(mask, x)
            )
            for level, (x, mask) in enumerate(zip(maps, masks))
        )


class AutoEncoder(nn.Module):
    """What turns a network's maps into factors, and back.

    Args:
        in_channels: Channels of the maps, one a level.
        channels: Channels of the factors, one a level.
        norm: See :class:`Coder`.
        shared: See :class:`LevelCoders`.

    Paper: https://arxiv.org/abs/2107.00181
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: Sequence[int],
        norm: bool = True,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = LevelCoders(in_channels, channels, norm, shared)
        self.decoder = LevelCoders(channels, in_channels, norm, shared)

    def forward(
        self, maps: Sequence[Tensor], masks: Masks | None = None
    ) -> tuple[Tensor, ...]:
        """Return the maps as the decoder makes them of the factors."""
        return self.decoder(self.encoder(maps, masks), masks)
