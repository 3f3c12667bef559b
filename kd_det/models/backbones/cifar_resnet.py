"""ResNets of basic blocks for 32-pixel images: ResNet-8 to -110, 8x4, 32x4."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from kd_det.checks import check_choice
from kd_det.models.backbones.base import (
    KAIMING,
    Stage,
    StagedBackbone,
    blocks_per_stage,
    conv,
    first_conv,
    projection,
)
from kd_det.registry import MODELS


@MODELS.register_module()
class CIFARResNet(StagedBackbone):
    """ResNet of depth 6n + 2: a stem and three stages of n basic blocks.

    Tap points: ``conv1``, ``relu`` (the stem's map), ``layer1`` to
    ``layer3`` (the stages' maps) and ``layer1.relu:input`` to
    ``layer3.relu:input`` (the same before the activation).

    Args:
        depth: 8, 14, 20, 32, 44, 56, 110, …
        widths: Channels of the stem and the stages; (32, 64, 128, 256) with
            depth 8 or 32 gives ResNet-8x4 or -32x4.
        shortcut: Used if the shape changes: ``'conv'`` (1x1 and batch norm) or
            ``'pad'`` (every second pixel, zeros as new channels: the paper's
            parameter-free option A).
        stem: ``'cifar'`` (3x3) or ``'cub'`` (7x7, stride 2).
        out_indices: Stages whose feature maps are returned, 0 to 2.
        init_cfg: As in MMEngine; default: Kaiming normal.

    Raises:
        UserError: An argument has an unaccepted value.

    Paper: He et al., Deep Residual Learning for Image Recognition,
    https://arxiv.org/abs/1512.03385
    """

    def __init__(
        self,
        depth: int,
        widths: Sequence[int] = (16, 16, 32, 64),
        shortcut: str = 'conv',
        stem: str = 'cifar',
        out_indices: Sequence[int] = (2,),
        init_cfg: dict | list[dict] | None = KAIMING,
    ) -> None:
        super().__init__(3, out_indices, init_cfg)
        blocks = blocks_per_stage('CIFARResNet', depth, 2)
        bypasses = dict(conv=projection, pad=PadShortcut)
        bypass = bypasses[
            check_choice(self, 'shortcut', shortcut, tuple(bypasses))
        ]
        self.conv1 = first_conv(widths[0], stem)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.layer1, self.layer2, self.layer3 = (
            Stage(
                BasicBlock(
                    channels if index else channels_in,
                    channels,
                    1 if index else stride,
                    bypass,
                )
                for index in range(blocks)
            )
            for channels_in, channels, stride in zip(
                widths, widths[1:], (1, 2, 2)
            )
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of images (N, 3, H, W)."""
        x = self.relu(self.bn1(self.conv1(x)))
        return self.run(x, self.layer1, self.layer2, self.layer3)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; ends before its ReLU."""

    def __init__(
        self, channels_in: int, channels: int, stride: int, bypass: type
    ) -> None:
        super().__init__()
        self.conv1 = conv(channels_in, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = bypass(channels_in, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both paths."""
        out = F.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(out)) + self.downsample(x)


class PadShortcut(nn.Module):
    """Every ``stride``-th pixel, with zero channels added on both sides."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        before = (channels - channels_in) // 2
        self.pad = (0, 0, 0, 0, before, channels - channels_in - before)

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature map (N, channels, H / stride, W / stride)."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], self.pad)
