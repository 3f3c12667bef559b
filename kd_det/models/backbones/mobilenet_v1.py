"""MobileNetV1 for ImageNet."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from kd_det.models.backbones.base import Stage, StagedBackbone, conv
from kd_det.registry import MODELS


@MODELS.register_module()
class MobileNetV1(StagedBackbone):
    """MobileNet with width 1: four stages at strides 4, 8, 16 and 32.

    Tap points: ``layer1`` to ``layer4`` (the stages' maps) and
    ``layer1.relu:input`` to ``layer4.relu:input`` (the same before the
    activation).

    Args:
        out_indices: Stages whose feature maps are returned, 0 to 3.
        init_cfg: As in MMEngine; default: torch's initialisation, as in the
            public distillation code.

    Raises:
        UserError: A stage does not exist.

    Paper: Howard et al., MobileNets: Efficient Convolutional Neural Networks
    for Mobile Vision Applications, https://arxiv.org/abs/1704.04861
    """

    def __init__(
        self,
        out_indices: Sequence[int] = (3,),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(4, out_indices, init_cfg)
        self.conv1 = conv(3, 32, 3, 2)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu = nn.ReLU()
        self.layer1 = Stage(
            [
                SeparableUnit(32, 64, 1),
                SeparableUnit(64, 128, 2),
                SeparableUnit(128, 128, 1),
            ]
        )
        self.layer2 = _stage(128, 256, 2)
        self.layer3 = _stage(256, 512, 6)
        self.layer4 = _stage(512, 1024, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of images (N, 3, H, W)."""
        x = self.relu(self.bn1(self.conv1(x)))
        return self.run(x, self.layer1, self.layer2, self.layer3, self.layer4)


def _stage(channels_in: int, channels: int, units: int) -> Stage:
    rest = [SeparableUnit(channels, channels, 1) for _ in range(units - 1)]
    return Stage([SeparableUnit(channels_in, channels, 2), *rest])


class SeparableUnit(nn.Module):
    """Depthwise 3x3, ReLU, 1x1; ends before its second ReLU."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(channels_in, channels_in, 3, stride, channels_in)
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv2 = conv(channels_in, channels, 1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature map, without activation."""
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
