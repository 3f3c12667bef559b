"""ResNet-50 without max pooling, for 32-pixel images and for CUB."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from kd_det.models.backbones.base import (
    KAIMING,
    Stage,
    StagedBackbone,
    conv,
    first_conv,
    projection,
)
from kd_det.registry import MODELS


@MODELS.register_module()
class CIFARResNet50(StagedBackbone):
    """ResNet-50 whose stem keeps the resolution, or halves it once.

    Its weights are named as in mmpretrain's ``ResNet_CIFAR``, which has only
    the first stem, initialises the last norm of each block to zero, and uses
    in-place activations, so that a tap on their input would see their output.

    Tap points: ``conv1``, ``relu`` (the stem's map), ``layer1`` to
    ``layer4`` (the stages' maps) and ``layer1.relu:input`` to
    ``layer4.relu:input`` (the same before the activation).

    Args:
        stem: ``'cifar'`` (3x3) or ``'cub'`` (7x7, stride 2).
        out_indices: Stages whose feature maps are returned, 0 to 3.
        init_cfg: As in MMEngine; default: Kaiming normal.

    Raises:
        UserError: An argument has an unaccepted value.

    Paper: He et al., Deep Residual Learning for Image Recognition,
    https://arxiv.org/abs/1512.03385
    """

    def __init__(
        self,
        stem: str = 'cifar',
        out_indices: Sequence[int] = (3,),
        init_cfg: dict | list[dict] | None = KAIMING,
    ) -> None:
        super().__init__(4, out_indices, init_cfg)
        self.conv1 = first_conv(64, stem)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.layer1 = _stage(64, 64, 3, 1)
        self.layer2 = _stage(256, 128, 4, 2)
        self.layer3 = _stage(512, 256, 6, 2)
        self.layer4 = _stage(1024, 512, 3, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of images (N, 3, H, W)."""
        x = self.relu(self.bn1(self.conv1(x)))
        return self.run(x, self.layer1, self.layer2, self.layer3, self.layer4)


def _stage(channels_in: int, middle: int, blocks: int, stride: int) -> Stage:
    rest = [Bottleneck(4 * middle, middle, 1) for _ in range(blocks - 1)]
    return Stage([Bottleneck(channels_in, middle, stride), *rest])


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution with a shortcut; ends before its ReLU."""

    def __init__(self, channels_in: int, middle: int, stride: int) -> None:
        super().__init__()
        channels = 4 * middle
        self.conv1 = conv(channels_in, middle, 1)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = conv(middle, middle, 3, stride)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = conv(middle, channels, 1)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample = projection(channels_in, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both paths."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return self.bn3(self.conv3(out)) + self.downsample(x)
