"""RegNetY-16GF from torchvision."""

from mmengine.model import BaseModule
from torch import Tensor
from torchvision.models import regnet_y_16gf

from kd_det.registry import MODELS


@MODELS.register_module()
class RegNetY16GF(BaseModule):
    """RegNetY-16GF: its last feature map has 3024 channels at stride 32.

    torchvision's initialisation is kept. Its published weights load with the
    key mapping ``torchvision``.

    Args:
        init_cfg: As in MMEngine.

    Paper: Radosavovic et al., Designing Network Design Spaces,
    https://arxiv.org/abs/2003.13678
    """

    def __init__(self, init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)
        network = regnet_y_16gf()
        self.stem = network.stem
        self.trunk_output = network.trunk_output

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Return the last feature map of images (N, 3, H, W), in a tuple."""
        return (self.trunk_output(self.stem(x)),)
