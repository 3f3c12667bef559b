"""DeiT's head without averaging of its two layers in training.

The cross-entropy must use the class token's logits only, and distillation
those of the distillation token. A config imports this head through
``custom_imports``, since the module imports MMPretrain.
"""

from mmpretrain.models.heads import DeiTClsHead
from mmpretrain.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class DistilledDeiTHead(DeiTClsHead):
    """Head with separate classification layers for DeiT's two tokens.

    In training it returns the logits of the class token; those of the
    distillation token can be tapped at ``layers.head_dist``. In evaluation it
    returns the mean of both. The weights have the layout of MMPretrain's head.

    Paper: https://arxiv.org/abs/2012.12877
    """

    def forward(self, feats: tuple) -> Tensor:
        """Return logits (N, K) from the backbone's output."""
        class_token, dist_token = self.pre_logits(feats)
        logits = self.layers.head(class_token)
        dist_logits = self.layers.head_dist(dist_token)
        return logits if self.training else (logits + dist_logits) / 2
