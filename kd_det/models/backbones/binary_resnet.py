"""ResNet-18 whose 3x3 convolutions are binary."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from kd_det.models.backbones.base import (
    KAIMING,
    StagedBackbone,
    conv,
    projection,
)
from kd_det.registry import MODELS


@MODELS.register_module()
class BinaryResNet(StagedBackbone):
    r"""ResNet-18 with a shortcut around every binary 3x3 convolution.

    .. math:: y = \mathrm{shortcut}(x)
        + \alpha\,\mathrm{sign}(w) * \mathrm{sign}(\mathrm{BN}(x)),
        \quad \alpha = \mathrm{mean} |w| \text{ of each filter}

    The stem and the 1x1 shortcuts are real-valued. Gradients are
    straight-through: they pass the sign of the activations where the input is
    at most 1 in magnitude, and the binary weights unchanged. The last feature
    map is normalised and activated.

    SRRL's paper uses a binary ResNet-18 as a student, but its architecture is
    not known and its code is not public: this one follows the two papers below
    and may differ from theirs.

    Tap points: ``layer1`` to ``layer4`` (the stages' sums, not activated);
    ``relu:input`` and ``relu`` (the last of them after its norm, before and
    after the activation).

    Args:
        out_indices: Stages whose feature maps are returned, 0 to 3; 3 is
            ``relu``.
        init_cfg: As in MMEngine; default: Kaiming normal, fan out.

    Raises:
        UserError: A stage does not exist.

    Paper: Rastegari et al., XNOR-Net, https://arxiv.org/abs/1603.05279;
    Liu et al., Bi-Real Net, https://arxiv.org/abs/1808.00278
    """

    def __init__(
        self,
        out_indices: Sequence[int] = (3,),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(4, out_indices, init_cfg or KAIMING)
        self.conv1 = conv(3, 64, 7, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(64, 64, 1)
        self.layer2 = _stage(64, 128, 2)
        self.layer3 = _stage(128, 256, 2)
        self.layer4 = _stage(256, 512, 2)
        self.bn2 = nn.BatchNorm2d(512)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of images (N, 3, H, W)."""
        return self.run(
            self.pool(self.bn1(self.conv1(x))),
            self.layer1,
            self.layer2,
            self.layer3,
            lambda x: self.relu(self.bn2(self.layer4(x))),
        )


def _stage(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    rest = [BinaryUnit(channels, channels, 1) for _ in range(3)]
    return nn.Sequential(BinaryUnit(channels_in, channels, stride), *rest)


class BinaryUnit(nn.Module):
    """Norm, sign and binary 3x3 convolution, with a shortcut around them."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels_in)
        self.conv = BinaryConv2d(
            channels_in, channels, 3, stride, 1, bias=False
        )
        self.shortcut = projection(channels_in, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum, without activation."""
        return self.shortcut(x) + self.conv(BinarySign.apply(self.bn(x)))


class BinaryConv2d(nn.Conv2d):
    """A convolution that uses its binarised weights."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature map; it is padded with 0."""
        weight = BinaryWeight.apply(self.weight)
        return F.conv2d(x, weight, None, self.stride, self.padding)


class BinarySign(Function):
    """The sign (1 for 0); the gradient passes where \\|x\\| <= 1."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        """Return 1 or -1, and NaN for NaN."""
        ctx.save_for_backward(x)
        return _sign(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        """Return the gradient, 0 where the input's magnitude is above 1."""
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1)


class BinaryWeight(Function):
    """The sign times the mean magnitude of each filter; straight-through."""

    @staticmethod
    def forward(ctx, weight: Tensor) -> Tensor:
        """Return weights with two values per filter."""
        return _sign(weight) * weight.abs().mean((1, 2, 3), keepdim=True)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        """Return the gradient unchanged."""
        return gradient


def _sign(x: Tensor) -> Tensor:
    one = torch.ones_like(x)
    return torch.where(x.isnan(), x, torch.where(x >= 0, one, -one))
