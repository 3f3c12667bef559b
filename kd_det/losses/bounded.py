"""Teacher-bounded regression of boxes."""

from torch import Tensor

from kd_det.checks import check_not_negative
from kd_det.functional import teacher_bounded_loss
from kd_det.losses.base import DistillLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class TeacherBoundedLoss(DistillLoss):
    r"""Further regression loss on boxes where the teacher is the better one.

    .. math:: L = \frac1N \sum_n \|s_n - y_n\|^2
        \left[ \|s_n - y_n\|^2 + m > \|t_n - y_n\|^2 \right]

    over all N RoIs, with the deltas s, t of student and teacher and y of the
    annotated box. Background RoIs have none and add 0: N is the number by
    which the box head divides its own regression loss.

    Args:
        margin: m, 0 or above: by how much the student's error must be below
            the teacher's for the loss to end.
        loss_weight: Constant factor of the loss; nu in the paper.

    Raises:
        UserError: ``margin`` is negative.

    Paper: https://papers.nips.cc/paper/6676-learning-efficient-object-detection-models-with-knowledge-distillation
    """

    def __init__(self, margin: float = 0.0, loss_weight: float = 0.5) -> None:
        super().__init__(loss_weight)
        self.margin = check_not_negative(self, 'margin', margin)

    def forward(
        self,
        student_deltas: Tensor,
        teacher_deltas: Tensor,
        target_deltas: Tensor,
    ) -> Tensor:
        """Return the weighted loss of deltas (N, 4) as a scalar."""
        return self.mean(
            teacher_bounded_loss(
                student_deltas, teacher_deltas, target_deltas, self.margin
            )
        )
