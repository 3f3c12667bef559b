"""Wide residual networks: WRN-40-2, WRN-40-1, WRN-16-2."""

from collections.abc import Sequence

from torch import Tensor, nn

from kd_det.models.backbones.base import (
    KAIMING,
    StagedBackbone,
    blocks_per_stage,
    conv,
)
from kd_det.registry import MODELS


@MODELS.register_module()
class WRN(StagedBackbone):
    """Pre-activation ResNet of depth 6n + 4, ``widen`` times as wide.

    The feature maps of stages 0 and 1 are sums, not yet normalised or
    activated; that of stage 2 is normalised and activated, as for the
    classifier.

    Tap points: ``layer1`` to ``layer3`` (the sums); ``layer2.0.relu1:input``,
    ``layer3.0.relu1:input`` and ``relu:input`` (the sums of stages 0, 1
    and 2, normalised, before the activation that follows); ``relu``.

    Args:
        depth: 16, 22, 28, 40, …
        widen: Multiplier of the widths 16, 32 and 64.
        out_indices: Stages whose feature maps are returned, 0 to 2.
        init_cfg: As in MMEngine; default: Kaiming normal.

    Raises:
        UserError: An argument has an unaccepted value.

    Paper: Zagoruyko and Komodakis, Wide Residual Networks,
    https://arxiv.org/abs/1605.07146
    """

    def __init__(
        self,
        depth: int,
        widen: int,
        out_indices: Sequence[int] = (2,),
        init_cfg: dict | list[dict] | None = KAIMING,
    ) -> None:
        super().__init__(3, out_indices, init_cfg)
        blocks = blocks_per_stage('WRN', depth, 4)
        narrow, middle, wide = 16 * widen, 32 * widen, 64 * widen
        # before conv1, since a norm is folded into the last-named convolution
        self.bn1 = nn.BatchNorm2d(wide)
        self.relu = nn.ReLU()
        self.conv1 = conv(3, 16, 3)
        self.layer1 = _stage(16, narrow, blocks, 1)
        self.layer2 = _stage(narrow, middle, blocks, 2)
        self.layer3 = _stage(middle, wide, blocks, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of images (N, 3, H, W)."""
        return self.run(
            self.conv1(x),
            self.layer1,
            self.layer2,
            lambda x: self.relu(self.bn1(self.layer3(x))),
        )


def _stage(
    channels_in: int, channels: int, blocks: int, stride: int
) -> nn.Sequential:
    rest = [WideBlock(channels, channels, 1) for _ in range(blocks - 1)]
    return nn.Sequential(WideBlock(channels_in, channels, stride), *rest)


class WideBlock(nn.Module):
    """Norm, ReLU and 3x3 convolution, twice, added to the input.

    If the shape changes, a 1x1 convolution of the activated input is added
    instead.
    """

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.relu1 = nn.ReLU()
        self.conv1 = conv(channels_in, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.conv2 = conv(channels, channels, 3)
        self.shortcut = None
        if channels_in != channels:
            self.shortcut = conv(channels_in, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both paths."""
        active = self.relu1(self.bn1(x))
        out = self.conv2(self.relu2(self.bn2(self.conv1(active))))
        return out + (self.shortcut(active) if self.shortcut else x)
