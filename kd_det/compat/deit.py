"""DeiT's head: MMPretrain's averages its two class layers in training too.

The cross-entropy must see the class token's logits alone, and the teacher the
distillation token's. A config that needs this head imports it by
``custom_imports``: the module itself imports MMPretrain.
"""

from mmpretrain.models.heads import DeiTClsHead
from mmpretrain.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class DistilledDeiTHead(DeiTClsHead):
    """Head with a class layer for each of the two tokens of DeiT.

    In training it returns the logits of the class token; those of the
    distillation token can be tapped at ``layers.head_dist``. In evaluation
    it returns the mean of both. The weights are those of MMPretrain's head.

    Paper: https://arxiv.org/abs/2012.12877
    """

    def forward(self, feats: tuple) -> Tensor:
        """Return logits (N, K) of what the backbone returned."""
        class_token, dist_token = self.pre_logits(feats)
        logits = self.layers.head(class_token)
        dist_logits = self.layers.head_dist(dist_token)
        return logits if self.training else (logits + dist_logits) / 2
