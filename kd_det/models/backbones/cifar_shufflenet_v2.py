"""ShuffleNet V2 for 32-pixel images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_det.checks import check_choice
from kd_det.models.backbones.base import (
    StagedBackbone,
    conv,
    first_conv,
    shuffle_channels,
)
from kd_det.registry import MODELS

# channels of the stages before the last, by the paper's width
CHANNELS = {1.0: (116, 232, 464), 1.5: (176, 352, 704)}


@MODELS.register_module()
class CIFARShuffleNetV2(StagedBackbone):
    """ShuffleNetV2: stages of 4, 8 and 4 units, then a 1x1 to 1024.

    Tap points: ``conv1``, ``relu`` (the stem's map); ``layer1`` to ``layer3``
    (maps of stages 0 to 2, concatenated from activated halves, so they have no
    counterpart before the activation); ``relu2:input`` and ``relu2`` (stage 3
    before and after its activation).

    Args:
        width: ``1.0`` (116, 232 and 464 channels) or ``1.5`` (176, 352 and
            704).
        stem: ``'cifar'`` (1x1) or ``'cub'`` (7x7, stride 2).
        out_indices: Stages whose feature maps are returned, 0 to 3.
        init_cfg: As in MMEngine; default: torch's initialisation, as in the
            public CIFAR code.

    Raises:
        UserError: An argument has an unaccepted value.

    Paper: Ma et al., ShuffleNet V2: Practical Guidelines for Efficient CNN
    Architecture Design, https://arxiv.org/abs/1807.11164
    """

    def __init__(
        self,
        width: float = 1.0,
        stem: str = 'cifar',
        out_indices: Sequence[int] = (3,),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(4, out_indices, init_cfg)
        name = type(self).__name__
        check_choice(name, 'width', width, tuple(CHANNELS))
        first, second, third = CHANNELS[width]
        self.conv1 = first_conv(24, stem, kernel_size=1)
        self.bn1 = nn.BatchNorm2d(24)
        self.relu = nn.ReLU()
        self.layer1 = _stage(24, first, 4)
        self.layer2 = _stage(first, second, 8)
        self.layer3 = _stage(second, third, 4)
        self.conv2 = conv(third, 1024, 1)
        self.bn2 = nn.BatchNorm2d(1024)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of images (N, 3, H, W)."""
        return self.run(
            self.relu(self.bn1(self.conv1(x))),
            self.layer1,
            self.layer2,
            self.layer3,
            lambda x: self.relu2(self.bn2(self.conv2(x))),
        )


def _stage(channels_in: int, channels: int, units: int) -> nn.Sequential:
    rest = [SplitUnit(channels) for _ in range(units - 1)]
    return nn.Sequential(DownUnit(channels_in, channels), *rest)


class SplitUnit(nn.Module):
    """Pass half of the channels, convolve the other half, then shuffle."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = conv(half, half, 1)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = conv(half, half, 3, groups=half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv(half, half, 1)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        """Return a feature map with the shape of ``x``."""
        kept, out = x.chunk(2, 1)
        out = F.relu(self.bn1(self.conv1(out)))
        out = self.bn2(self.conv2(out))
        out = F.relu(self.bn3(self.conv3(out)))
        return shuffle_channels(torch.cat([kept, out], 1), 2)


class DownUnit(nn.Module):
    """Two paths at half the resolution, concatenated and shuffled."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = conv(channels_in, channels_in, 3, 2, groups=channels_in)
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv2 = conv(channels_in, half, 1)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv(channels_in, half, 1)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = conv(half, half, 3, 2, groups=half)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = conv(half, half, 1)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        """Return a feature map at half the resolution."""
        left = self.bn1(self.conv1(x))
        left = F.relu(self.bn2(self.conv2(left)))
        right = F.relu(self.bn3(self.conv3(x)))
        right = self.bn4(self.conv4(right))
        right = F.relu(self.bn5(self.conv5(right)))
        return shuffle_channels(torch.cat([left, right], 1), 2)
