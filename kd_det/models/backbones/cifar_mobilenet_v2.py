"""MobileNetV2 for 32-pixel images."""

from collections.abc import Sequence

from torch import Tensor, nn

from kd_det.models.backbones.base import (
    KAIMING,
    StagedBackbone,
    conv,
    first_conv,
)
from kd_det.registry import MODELS

# expansion, channels at width 1, blocks, stride of the first: as in the
# paper's table, except that the second row does not halve the map
ROWS = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@MODELS.register_module()
class CIFARMobileNetV2(StagedBackbone):
    """MobileNetV2 that halves the image four times: 2x2 for 32 pixels.

    Stages 0 to 3 end before the map is downsampled (the last one after the
    inverted residuals) and have no activation; stage 4 is the 1x1 convolution
    to 1280 channels, with its norm and activation.

    Tap points: ``conv1`` (the stem's map); ``blocks.1``, ``blocks.2``,
    ``blocks.4``, ``blocks.6`` and ``conv2`` (the stages' maps);
    ``conv2.2:input`` (the last before its activation).

    Args:
        width: Multiplier of all widths, and above 1 also of the last one.
        stem: ``'cifar'`` (3x3, stride 2) or ``'cub'`` (7x7, stride 2, and
            2x2 max pooling).
        out_indices: Stages whose feature maps are returned, 0 to 4.
        init_cfg: As in MMEngine; default: Kaiming normal.

    Raises:
        UserError: An argument has an unaccepted value.

    Paper: Sandler et al., MobileNetV2: Inverted Residuals and Linear
    Bottlenecks, https://arxiv.org/abs/1801.04381

    As in the public CIFAR code, and unlike the paper, activations are ReLU,
    widths are not rounded to multiples of 8, and the first block also has an
    expansion layer.
    """

    def __init__(
        self,
        width: float = 0.5,
        stem: str = 'cifar',
        out_indices: Sequence[int] = (4,),
        init_cfg: dict | list[dict] | None = KAIMING,
    ) -> None:
        super().__init__(5, out_indices, init_cfg)
        channels = int(32 * width)
        self.conv1 = nn.Sequential(
            first_conv(channels, stem, stride=2),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        if stem == 'cub':
            self.conv1.append(nn.MaxPool2d(2))
        self.blocks = nn.Sequential()
        for expansion, full_width, count, stride in ROWS:
            row = nn.Sequential()
            for index in range(count):
                channels_in, channels = channels, int(full_width * width)
                row.append(
                    InvertedResidual(
                        channels_in,
                        channels,
                        1 if index else stride,
                        expansion,
                    )
                )
            self.blocks.append(row)
        last = int(1280 * max(width, 1))
        self.conv2 = nn.Sequential(
            conv(channels, last, 1), nn.BatchNorm2d(last), nn.ReLU()
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of images (N, 3, H, W)."""
        return self.run(
            self.conv1(x),
            self.blocks[:2],
            self.blocks[2],
            self.blocks[3:5],
            self.blocks[5:],
            self.conv2,
        )


class InvertedResidual(nn.Module):
    """Expanding 1x1, depthwise 3x3 and linear projecting 1x1 convolution.

    The input is added if the shape does not change.
    """

    def __init__(
        self, channels_in: int, channels: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        middle = channels_in * expansion
        self.keeps_shape = stride == 1 and channels_in == channels
        self.conv = nn.Sequential(
            conv(channels_in, middle, 1),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            conv(middle, middle, 3, stride, groups=middle),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            conv(middle, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature map, without activation."""
        return x + self.conv(x) if self.keeps_shape else self.conv(x)
