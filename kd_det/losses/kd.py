"""KD on logits, with soft or hard teacher predictions."""

from torch import Tensor
from torch.nn import functional as F

from kd_det.checks import check_choice, check_positive
from kd_det.functional import kd_loss
from kd_det.functional._common import check_shapes, float32_math
from kd_det.losses.logit_loss import LogitLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class KDLoss(LogitLoss):
    r"""KL divergence of softened predictions, averaged over samples.

    .. math:: L = \frac{\tau^2}{N} \sum_n
        \mathrm{KL}\left(p^t_n(\tau) \,\|\, p^s_n(\tau)\right)

    Args:
        tau: Temperature, above 0.
        loss_weight: Constant factor of the loss.
        standardize: Whether to standardise the logits of each sample first.

    Raises:
        UserError: ``tau`` is not above 0, or ``standardize`` not a bool.

    Paper: Hinton et al., Distilling the Knowledge in a Neural Network,
    https://arxiv.org/abs/1503.02531; the standardisation: Sun et al., Logit
    Standardization in Knowledge Distillation, https://arxiv.org/abs/2403.01993
    """

    least_classes = 2  # the softmax of a single logit is always 1

    def __init__(
        self,
        tau: float = 1.0,
        loss_weight: float = 1.0,
        standardize: bool = False,
    ) -> None:
        super().__init__(loss_weight)
        self.tau = check_positive(self, 'tau', tau)
        self.standardize = check_choice(
            self, 'standardize', standardize, (True, False)
        )

    def per_sample(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Return the unweighted loss (N,); labels are not used."""
        return kd_loss(
            student_logits, teacher_logits, self.tau, self.standardize
        )

    def forward(
        self, student_logits: Tensor, teacher_logits: Tensor
    ) -> Tensor:
        """Return the weighted loss of logits (N, K) as a scalar."""
        return self.mean(self.per_sample(student_logits, teacher_logits))


@MODELS.register_module()
class HardKDLoss(LogitLoss):
    r"""Cross-entropy with the teacher's predicted class.

    .. math:: L = -\frac1N \sum_n \log p^s_{n, g_n}, \qquad
        g_n = \operatorname{argmax}_k z^t_{nk}

    For tied logits the first class is predicted. The ground-truth labels are
    not used, so mixup and cutmix need no special handling.

    Args:
        loss_weight: Constant factor of the loss.

    Paper: Touvron et al., Training data-efficient image transformers,
    https://arxiv.org/abs/2012.12877
    """

    least_classes = 2  # a single class needs no prediction

    def per_sample(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Return the unweighted loss (N,); labels are not used."""
        return _hard_kd(student_logits, teacher_logits)

    def forward(
        self, student_logits: Tensor, teacher_logits: Tensor
    ) -> Tensor:
        """Return the weighted loss of logits (N, K) as a scalar."""
        return self.mean(self.per_sample(student_logits, teacher_logits))


@float32_math
def _hard_kd(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    check_shapes(
        student_logits=(student_logits, 'N K'),
        teacher_logits=(teacher_logits, 'N K'),
    )
    predicted = teacher_logits.argmax(1)
    return F.cross_entropy(student_logits, predicted, reduction='none')
