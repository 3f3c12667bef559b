"""The small EfficientNet of a MicroNet entry, for 32-pixel images."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from kd_det.models.backbones.base import KAIMING, StagedBackbone, conv
from kd_det.registry import MODELS

STEM, LAST = 24, 136  # channels
SIDE = 63  # pixels, to which images are enlarged
# channels, expansion, stride
UNITS = (
    (16, 1, 1),
    (24, 6, 1),
    (40, 6, 2),
    (40, 6, 1),
    (48, 6, 1),
    (64, 6, 1),
    (64, 6, 1),
    (80, 6, 2),
    (80, 6, 1),
    (96, 6, 1),
)
STAGES = (2, 7, len(UNITS))  # where they end, before the map is downsampled


@MODELS.register_module()
class MicroEffNet(StagedBackbone):
    """An EfficientNet of 0.48 M weights that reaches 80 % on CIFAR-100.

    It enlarges images to 63 pixels by nearest neighbours. Stages 0 to 2 end
    before the map is downsampled and have no activation; stage 3 is the 1x1
    convolution to 136 channels, with its norm and activation. For 32-pixel
    images the maps are 31, 15, 7 and 7 cells wide.

    Tap points: ``blocks.1``, ``blocks.6``, ``blocks.9`` and ``act`` (the
    stages' maps); ``act:input`` (the last before its activation).

    Args:
        out_indices: Stages whose feature maps are returned, 0 to 3.
        init_cfg: As in MMEngine; default: Kaiming normal.

    Raises:
        UserError: A stage does not exist.

    Paper: Tan and Le, EfficientNet, https://arxiv.org/abs/1905.11946. The
    widths are those of the entry of OSI AI in the MicroNet Challenge of 2019,
    whose weights ``keys='micro_effnet'`` loads.
    """

    def __init__(
        self,
        out_indices: Sequence[int] = (3,),
        init_cfg: dict | list[dict] | None = KAIMING,
    ) -> None:
        super().__init__(4, out_indices, init_cfg)
        self.stem = HalvingConv(3, STEM, 2)
        self.bn0 = nn.BatchNorm2d(STEM)
        self.blocks = nn.Sequential()
        channels = STEM
        for width, expansion, stride in UNITS:
            self.blocks.append(MBConv(channels, width, expansion, stride))
            channels = width
        self.last = conv(channels, LAST, 1)
        self.bn1 = nn.BatchNorm2d(LAST)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of images (N, 3, H, W)."""
        x = F.interpolate(x, size=SIDE, mode='nearest')
        first, second, third = STAGES
        return self.run(
            F.silu(self.bn0(self.stem(x))),
            self.blocks[:first],
            self.blocks[first:second],
            self.blocks[second:third],
            lambda x: self.act(self.bn1(self.last(x))),
        )


class HalvingConv(nn.Conv2d):
    """A 3x3 convolution that, with stride 2, pads right and below alone."""

    def __init__(
        self, channels_in: int, channels: int, stride: int, groups: int = 1
    ) -> None:
        super().__init__(
            channels_in, channels, 3, stride, groups=groups, bias=False
        )
        self.pads = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map, padded as TensorFlow pads."""
        return super().forward(F.pad(x, self.pads))


class MBConv(nn.Module):
    """Expanding, depthwise, squeeze-and-excitation and projecting layers.

    The input is added if the shape does not change.
    """

    def __init__(
        self, channels_in: int, channels: int, expansion: int, stride: int
    ) -> None:
        super().__init__()
        middle = channels_in * expansion
        self.keeps_shape = stride == 1 and channels_in == channels
        self.expand = nn.Sequential()
        if expansion > 1:
            self.expand = nn.Sequential(
                conv(channels_in, middle, 1),
                nn.BatchNorm2d(middle),
                nn.SiLU(),
            )
        self.depthwise = nn.Sequential(
            HalvingConv(middle, middle, stride, groups=middle),
            nn.BatchNorm2d(middle),
            nn.SiLU(),
        )
        squeezed = channels_in // 5
        self.squeeze = nn.Conv2d(middle, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, middle, 1)
        self.project = nn.Sequential(
            conv(middle, channels, 1), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature map, without activation."""
        inner = self.depthwise(self.expand(x))
        means = inner.mean((2, 3), keepdim=True)
        gates = self.excite(F.silu(self.squeeze(means))).sigmoid()
        inner = self.project(inner * gates)
        return x + inner if self.keeps_shape else inner
