"""SRRL: features compared directly and through the teacher's layers."""

from torch import Tensor
from torch.nn import functional as F

from kd_det.checks import check_choice
from kd_det.functional import feature_matching_loss, softmax_regression_loss
from kd_det.functional._common import check_shapes, float32_math
from kd_det.losses.base import DistillLoss
from kd_det.registry import MODELS

MODES = ('mse', 'ce', 'kl', 'bce')


@MODELS.register_module()
class FeatureMatchingLoss(DistillLoss):
    r"""Mean squared difference of two embeddings of equal width.

    .. math:: L = \frac{1}{N C} \sum_n \|s_n - t_n\|^2

    In SRRL, :math:`s` is the student's last feature map after a
    :class:`ConvAdaptor` (the connector ``student_map`` of a
    ``LogitDistiller``) and pooling, and :math:`t` is the input of the
    teacher's classification layer.

    Args:
        loss_weight: Constant factor of the loss; alpha in the paper.

    Paper: https://openreview.net/forum?id=ZzwDy_wiWv

    Differs from the paper: mean over channels, as in the authors' code,
    instead of the squared norm.
    """

    def forward(self, student_embed: Tensor, teacher_embed: Tensor) -> Tensor:
        """Return the weighted loss of embeddings (N, C) as a scalar."""
        return self.mean(feature_matching_loss(student_embed, teacher_embed))


@MODELS.register_module()
class SoftmaxRegressionLoss(DistillLoss):
    r"""Compare both embeddings through the teacher's classification layer.

    With cross logits :math:`z`, teacher logits :math:`z^t`, their softmax
    :math:`p, p^t` and sigmoid :math:`q, q^t`:

    .. math::
        L^{mse} = \frac{1}{N K} \sum_n \|z_n - z^t_n\|^2, \quad
        L^{ce} = -\frac1N \sum_n \sum_k p^t_{nk} \log p_{nk}, \quad
        L^{kl} = \frac1N \sum_n \mathrm{KL}(p^t_n \| p_n)

        L^{bce} = -\frac1N \sum_n \sum_k q^t_{nk} \log q_{nk}
        + (1 - q^t_{nk}) \log (1 - q_{nk})

    The gradient flows through the frozen layer into the student. 'ce' and 'kl'
    are invariant to a common shift of the logits, 'mse' and 'bce' are not; the
    minimum of 'ce' and 'bce' is not 0. 'bce' is for heads with a sigmoid per
    class, where 'mse' would mostly compare the confidence in absent classes.

    Args:
        mode: 'mse', 'ce', 'kl' or 'bce'.
        loss_weight: Constant factor of the loss; beta in the paper.

    Raises:
        UserError: The mode is unknown.

    Paper: https://openreview.net/forum?id=ZzwDy_wiWv
    """

    def __init__(self, mode: str = 'mse', loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.mode = check_choice(self, 'mode', mode, MODES)
        if mode != 'mse':
            self.least_classes = 2  # the softmax of a single logit is 1

    def forward(self, cross_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Return the weighted loss of logits (N, K) as a scalar."""
        return self.mean(
            softmax_regression_loss(cross_logits, teacher_logits, self.mode)
        )


@MODELS.register_module()
class BoxRegressionLoss(DistillLoss):
    r"""Compare both embeddings through the teacher's box regression layer.

    .. math:: L = \frac{1}{4F} \sum_n \sum_{e=1}^4 h(b_{ne} - b^t_{ne})

    over the F foreground RoIs, with :math:`h` the Huber loss with delta 1 and
    :math:`b` the four deltas of the teacher's predicted class. The gradient
    flows through the frozen layer into the student.

    Args:
        loss_weight: Constant factor of the loss.

    Paper: none; SRRL, https://openreview.net/forum?id=ZzwDy_wiWv, only covers
        classification.
    """

    def forward(
        self, cross_boxes: Tensor, teacher_boxes: Tensor, foreground: Tensor
    ) -> Tensor:
        """Return the weighted loss of deltas (N, 4) as a scalar.

        ``foreground`` (N,) marks the foreground RoIs.
        """
        return self.mean(_huber(cross_boxes, teacher_boxes), foreground)


@float32_math
def _huber(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the Huber loss averaged over the deltas, (N,)."""
    check_shapes(cross_boxes=(ours, 'N E'), teacher_boxes=(theirs, 'N E'))
    return F.smooth_l1_loss(ours, theirs.detach(), reduction='none').mean(1)
