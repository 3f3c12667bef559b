"""FrozenBackbone: a backbone that does not train."""

from mmengine.model import BaseModule
from torch import Tensor

from kd_det.registry import MODELS


@MODELS.register_module()
class FrozenBackbone(BaseModule):
    """A backbone whose weights and batch norm statistics do not change.

    With it, a classifier is a linear probe: only its head trains. The backbone
    is always in evaluation mode.

    Args:
        backbone: Config of the backbone; its ``init_cfg`` names the weights.

    Example:
        >>> backbone = dict(
        ...     type='kd_det.FrozenBackbone',
        ...     backbone=dict(
        ...         type='kd_det.CIFARResNet',
        ...         depth=20,
        ...         init_cfg=dict(
        ...             type='Pretrained',
        ...             prefix='backbone.',
        ...             checkpoint='exported/student.pth',
        ...         ),
        ...     ),
        ... )
    """

    def __init__(self, backbone: dict) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone).requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> 'FrozenBackbone':
        """Set the mode of this module, but not of the backbone."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the backbone's feature maps of images (N, 3, H, W)."""
        return self.backbone(x)
