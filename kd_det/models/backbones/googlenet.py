"""GoogLeNet with batch norm: torchvision's, without what classifies."""

from mmengine.model import BaseModule
from torch import Tensor

from kd_det.registry import MODELS  # first: torchvision is importable then

CLASSIFIES = ('avgpool', 'dropout', 'fc', 'aux1', 'aux2')


@MODELS.register_module()
class GoogLeNet(BaseModule):
    """The maps of GoogLeNet: 1024 channels, a 32nd of the image's size.

    Modules and weights are those of torchvision's, whose checkpoint
    ``torchvision://googlenet`` is of images with a mean and a deviation of
    127.5. The auxiliary classifiers are left out.

    Args:
        init_cfg: As in MMEngine; torchvision's truncated normal by default.

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
        """Return the last map of images (N, 3, H, W)."""
        for child in self.children():  # in the order of the forward
            x = child(x)
        return (x,)
