"""ShuffleNet V1 for 32-pixel images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_det.models.backbones.base import (
    Stage,
    StagedBackbone,
    conv,
    first_conv,
    shuffle_channels,
)
from kd_det.registry import MODELS

GROUPS = 3
STEM = 24


@MODELS.register_module()
class CIFARShuffleNetV1(StagedBackbone):
    """ShuffleNet with 3 groups and stages of 4, 8 and 4 units.

    Tap points: ``conv1``, ``relu`` (the stem's map), ``layer1`` to
    ``layer3`` (the stages' maps) and ``layer1.relu:input`` to
    ``layer3.relu:input`` (the same before the activation).

    Args:
        stem: ``'cifar'`` (1x1) or ``'cub'`` (7x7, stride 2).
        out_indices: Stages whose feature maps are returned, 0 to 2.
        init_cfg: As in MMEngine; default: torch's initialisation, as in the
            public CIFAR code.

    Raises:
        UserError: An argument has an unaccepted value.

    Paper: Zhang et al., ShuffleNet: An Extremely Efficient Convolutional
    Neural Network for Mobile Devices, https://arxiv.org/abs/1707.01083

    As in the public CIFAR code, and unlike the paper, there is a ReLU after
    the depthwise convolution.
    """

    def __init__(
        self,
        stem: str = 'cifar',
        out_indices: Sequence[int] = (2,),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(3, out_indices, init_cfg)
        self.conv1 = first_conv(STEM, stem, kernel_size=1)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU()
        self.layer1 = _stage(STEM, 240, 4)
        self.layer2 = _stage(240, 480, 8)
        self.layer3 = _stage(480, 960, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of images (N, 3, H, W)."""
        x = self.relu(self.bn1(self.conv1(x)))
        return self.run(x, self.layer1, self.layer2, self.layer3)


def _stage(channels_in: int, channels: int, units: int) -> Stage:
    rest = [ShuffleUnit(channels, channels, 1) for _ in range(units - 1)]
    # the first unit's output is concatenated with the pooled input
    first = ShuffleUnit(channels_in, channels - channels_in, 2)
    return Stage([first, *rest])


class ShuffleUnit(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3 and grouped 1x1.

    The input is added or, at stride 2, pooled and concatenated; ends before
    its ReLU.
    """

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.groups = 1 if channels_in == STEM else GROUPS
        middle = channels // 4
        self.conv1 = conv(channels_in, middle, 1, groups=self.groups)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = conv(middle, middle, 3, stride, groups=middle)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = conv(middle, channels, 1, groups=GROUPS)
        self.bn3 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the combined feature map."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = shuffle_channels(out, self.groups)
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.stride == 1:
            return out + x
        return torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], 1)
