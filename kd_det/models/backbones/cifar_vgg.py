"""VGG-8, -11 and -13 with batch norm, without hidden linear layers."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from kd_det.checks import check_choice
from kd_det.models.backbones.base import (
    KAIMING,
    Stage,
    StagedBackbone,
)
from kd_det.registry import MODELS

CONVS = {8: (1,) * 5, 11: (1, 1, 2, 2, 2), 13: (2,) * 5}  # of each stage


@MODELS.register_module()
class CIFARVGG(StagedBackbone):
    """Five stages of 3x3 convolutions with three max poolings in between.

    The last feature map has stride 8: 4x4 for 32 pixels, and 28x28 for the 224
    pixels of CUB, which uses the same network.

    Tap points: ``block0`` to ``block4`` (the stages' maps) and
    ``block0.relu:input`` to ``block4.relu:input`` (the same before the
    activation).

    Args:
        depth: 8 (one convolution per stage), 13 (two) or 11 (two in the last
            three stages).
        out_indices: Stages whose feature maps are returned, 0 to 4.
        init_cfg: As in MMEngine; default: Kaiming normal.

    Raises:
        UserError: An argument has an unaccepted value.

    Paper: Simonyan and Zisserman, Very Deep Convolutional Networks for
    Large-Scale Image Recognition, https://arxiv.org/abs/1409.1556

    Differs from the public CIFAR code: images of 64 pixels are not pooled a
    fourth time.
    """

    def __init__(
        self,
        depth: int,
        out_indices: Sequence[int] = (4,),
        init_cfg: dict | list[dict] | None = KAIMING,
    ) -> None:
        super().__init__(5, out_indices, init_cfg)
        convs = CONVS[check_choice(self, 'depth', depth, tuple(CONVS))]
        self.block0 = _stage(3, 64, convs[0], pool=False)
        self.block1 = _stage(64, 128, convs[1])
        self.block2 = _stage(128, 256, convs[2])
        self.block3 = _stage(256, 512, convs[3])
        self.block4 = _stage(512, 512, convs[4], pool=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of images (N, 3, H, W)."""
        return self.run(
            x, self.block0, self.block1, self.block2, self.block3, self.block4
        )


def _stage(
    channels_in: int, channels: int, convs: int, pool: bool = True
) -> Stage:
    rest = [_unit(channels, channels, pool=False) for _ in range(convs - 1)]
    return Stage([_unit(channels_in, channels, pool), *rest])


def _unit(channels_in: int, channels: int, pool: bool) -> nn.Sequential:
    layers = OrderedDict(pool=nn.MaxPool2d(2)) if pool else OrderedDict()
    layers['conv'] = nn.Conv2d(channels_in, channels, 3, padding=1)
    layers['bn'] = nn.BatchNorm2d(channels)
    return nn.Sequential(layers)
