"""SRRL: the student's feature, also as the teacher's classifier sees it."""

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
    r"""Mean squared difference of two embeddings, as wide as each other.

    .. math:: L = \frac{1}{N C} \sum_n \|s_n - t_n\|^2

    In SRRL :math:`s` is the student's last map through a
    :class:`ConvAdaptor`, pooled, and :math:`t` what the teacher's class
    layer consumes: the connector ``student_map`` of a ``LogitDistiller``.

    Args:
        loss_weight: Constant factor of the loss; alpha of the paper.

    Paper: https://openreview.net/forum?id=ZzwDy_wiWv

    Differs from the paper: mean over the channels, as in the authors' code,
    where the paper has the squared norm.
    """

    def forward(self, student_embed: Tensor, teacher_embed: Tensor) -> Tensor:
        """Return the weighted loss of embeddings (N, C) as a scalar."""
        return self.mean(feature_matching_loss(student_embed, teacher_embed))


@MODELS.register_module()
class SoftmaxRegressionLoss(DistillLoss):
    r"""Compare what the teacher's class layer makes of both embeddings.

    With :math:`z` the cross logits, :math:`z^t` those of the teacher,
    :math:`p, p^t` their softmax and :math:`q, q^t` their sigmoid:

    .. math::
        L^{mse} = \frac{1}{N K} \sum_n \|z_n - z^t_n\|^2, \quad
        L^{ce} = -\frac1N \sum_n \sum_k p^t_{nk} \log p_{nk}, \quad
        L^{kl} = \frac1N \sum_n \mathrm{KL}(p^t_n \| p_n)

        L^{bce} = -\frac1N \sum_n \sum_k q^t_{nk} \log q_{nk}
        + (1 - q^t_{nk}) \log (1 - q_{nk})

    The gradient flows through the frozen layer into the student. 'mse' and
    'bce' see a common shift of the logits, 'ce' and 'kl' do not; 'ce' and
    'bce' are not 0 at equality. 'bce' is for heads with a sigmoid a class:
    there 'mse' would mostly compare how sure both are of what is not there.

    Args:
        mode: 'mse', 'ce', 'kl' or 'bce'.
        loss_weight: Constant factor of the loss; beta of the paper.

    Raises:
        UserError: For another mode.

    Paper: https://openreview.net/forum?id=ZzwDy_wiWv
    """

    def __init__(self, mode: str = 'mse', loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.mode = check_choice(self, 'mode', mode, MODES)
        if mode != 'mse':
            self.least_classes = 2  # the softmax of one is 1

    def forward(self, cross_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Return the weighted loss of logits (N, K) as a scalar."""
        return self.mean(
            softmax_regression_loss(cross_logits, teacher_logits, self.mode)
        )


@MODELS.register_module()
class BoxRegressionLoss(DistillLoss):
    r"""Compare what the teacher's box layer makes of both embeddings.

    .. math:: L = \frac{1}{4F} \sum_n \sum_{e=1}^4 h(b_{ne} - b^t_{ne})

    over the F RoIs on objects, with :math:`h` Huber's loss of delta 1 and
    :math:`b` the four deltas of the class that the teacher predicts. The
    gradient flows through the frozen layer into the student.

    Args:
        loss_weight: Constant factor of the loss.

    Paper: none; SRRL, https://openreview.net/forum?id=ZzwDy_wiWv, has
    classes alone.
    """

    def forward(
        self, cross_boxes: Tensor, teacher_boxes: Tensor, foreground: Tensor
    ) -> Tensor:
        """Return the weighted loss of deltas (N, 4) as a scalar.

        ``foreground`` (N,) marks the RoIs on objects.
        """
        return self.mean(_huber(cross_boxes, teacher_boxes), foreground)


@float32_math
def _huber(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the mean over the deltas, (N,)."""
    check_shapes(cross_boxes=(ours, 'N E'), teacher_boxes=(theirs, 'N E'))
    return F.smooth_l1_loss(ours, theirs.detach(), reduction='none').mean(1)
