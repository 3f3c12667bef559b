"""torchvision's GoogLeNet with batch norm, without its classifiers."""

from mmengine.model import BaseModule
from torch import Tensor

from kd_det.registry import (
    MODELS,
)  # first: makes torchvision importable

CLASSIFIES = ('avgpool', 'dropout', 'fc', 'aux1', 'aux2')


@MODELS.register_module()
class GoogLeNet(BaseModule):
    """GoogLeNet's last feature map: 1024 channels, stride 32.

    Modules and weights are torchvision's, whose checkpoint
    ``torchvision://googlenet`` expects images normalised with mean and
    standard deviation 127.5. The auxiliary classifiers are left out.

    Args:
        init_cfg: As in MMEngine; default: torchvision's truncated normal.

    Paper: https://arxiv.org/abs/1409.4842
    """

    def __init__(self, init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)
        from torchvision.models import googlenet

        whole = googlenet(weights=None, aux_logits=False, init_weights=True)
        for name, child in whole.named_children():
            if name not in CLASSIFIES:
                self.add_module(name, child)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Return the last feature map of images (N, 3, H, W)."""
        for child in self.children():  # in order of the forward pass
            x = child(x)
        return (x,)
