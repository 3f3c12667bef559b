"""Conv4: the network of few-shot learning."""

from mmengine.model import BaseModule
from torch import Tensor, nn

from kd_det.registry import MODELS


@MODELS.register_module()
class Conv4(BaseModule):
    """Four blocks: 3x3 convolution, batch norm, ReLU, 2x2 max pooling.

    28-pixel images give a 1 x 1 map, 84-pixel images 5 x 5, so flattened
    embeddings have 64 or 1600 entries at width 64.

    Args:
        in_channels: Channels of the images.
        width: Channels of each block.
        init_cfg: As in MMEngine; default: torch's initialisation.

    Paper: Vinyals et al., Matching Networks for One Shot Learning,
    https://arxiv.org/abs/1606.04080
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: int = 64,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(channels, width, 3, padding=1),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                    nn.MaxPool2d(2),
                )
                for channels in (in_channels, width, width, width)
            )
        )

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Return the last feature map of images (N, in_channels, H, W)."""
        return (self.blocks(x),)
