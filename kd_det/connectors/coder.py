"""Coders: encode feature maps as factors, and decode them."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from kd_det.batch_norm import normalized
from kd_det.errors import UserError
from kd_det.masks import fitting, zero_outside

SLOPE = 0.1  # of the leaky ReLU
Masks = Sequence[Tensor | None]


class Coder(nn.Module):
    r"""Three 3x3 convolutions, each followed by a leaky ReLU.

    The channels go from :math:`C` to :math:`C`, :math:`m` and :math:`m`. With
    batch norm, as in IE-KD, there is a batch norm after each convolution and a
    leaky ReLU before the first. Without, as in FT, the convolutions have a
    bias.

    Args:
        in_channels: Input channels :math:`C`.
        out_channels: Output channels :math:`m`.
        norm: Whether to use batch norm.

    Paper: https://arxiv.org/abs/2107.00181

    Differs from the authors' code: there is a bias without batch norm, as in
    FT's code.
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
            x: Feature map (N, C, H, W).
            mask: Cells to use, boolean (N, 1, H, W). Other cells (padding) are
                zero before every convolution and in the result, and are
                excluded from batch norm statistics.

        Raises:
            UserError: Batch norm would get a single cell in training.
        """
        if self.norm and self.training and x[:, 0].numel() == 1:
            raise UserError(
                'A coder with batch norm cannot be trained on one image '
                'whose feature map has one cell; use batches of at least two '
                '(drop_last=True in train_dataloader), tap points with '
                'larger maps, or norm=False in the distiller.'
            )
        if self.norm:
            x = F.leaky_relu(x, SLOPE)
        for conv, norm in zip(self.convs, self.norms):
            x = normalized(norm, conv(zero_outside(x, mask)), mask)
            x = F.leaky_relu(x, SLOPE)
        return zero_outside(x, mask)


class LevelCoders(nn.Module):
    """One coder per level, or one shared by all levels.

    Args:
        in_channels: Input channels of each level.
        out_channels: Output channels of each level.
        norm: See :class:`Coder`.
        shared: Whether all levels share one coder; they must have equal
            channels.

    Raises:
        UserError: The coder is shared but the channels differ.
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
                f'and factors of {list(out_channels)}: a shared coder '
                'requires equal channels; remove shared, or use tap points '
                'with equal channels.'
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
            maps: Feature maps (N, C, H, W), one per level.
            masks: Masks of the levels, or None; see :meth:`Coder.forward`.
        """
        masks = masks or [None] * len(maps)
        # a teacher may use half precision, an auto-encoder does not
        dtype = next(self.parameters()).dtype
        return tuple(
            self.coders[0 if self.shared else level](
                x.to(dtype), fitting(mask, x)
            )
            for level, (x, mask) in enumerate(zip(maps, masks))
        )


class AutoEncoder(nn.Module):
    """Encode a network's feature maps as factors, and decode them.

    Args:
        in_channels: Channels of the feature maps, one per level.
        channels: Channels of the factors, one per level.
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
        """Return the feature maps reconstructed from their factors."""
        return self.decoder(self.encoder(maps, masks), masks)
