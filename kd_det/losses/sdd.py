"""SDD: a logit loss on the regions of an image."""

from torch import Tensor

from kd_det.errors import UserError
from kd_det.functional import sdd_loss
from kd_det.losses.base import DistillLoss
from kd_det.losses.checks import check_choice, check_not_negative
from kd_det.losses.logit_loss import LogitLoss
from kd_det.registry import MODELS, build_part


@MODELS.register_module()
class SDDLoss(DistillLoss):
    r"""Weighted mean of a logit loss over regions, mean over samples.

    .. math:: L = \frac{1}{NR} \sum_i \sum_r \omega_{ir} \,
        \operatorname{base}(s_{ir}, t_{ir}, y_i)

    with :math:`\omega = \beta` where the teacher is right about the region
    and wrong about the image, or the reverse, else 1. Region 0 is the image.

    Args:
        base: Config of a :class:`LogitLoss`, which has a value per sample.
            It is weighed by ``loss_weight`` of this loss, not its own.
        beta: Weight of a complementary region.
        split: What makes a region complementary: ``'code'`` as above,
            ``'paper'`` where the teacher's class for the region is not its
            class for the image.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: The base is no ``LogitLoss`` or has a weight, or an
            argument is out of range.

    Paper: https://arxiv.org/abs/2403.13512

    Differs from the authors' code: nothing is replaced by 0 when it is NaN.
    """

    def __init__(
        self,
        base: dict,
        beta: float = 2.0,
        split: str = 'code',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(loss_weight)
        if isinstance(base, dict):  # names resolve here in any default scope
            base = {'_scope_': 'kd_det', **base}
        self.base = build_part('base of SDDLoss', base, LogitLoss)
        if self.base.loss_weight != 1:
            raise UserError(
                f'SDDLoss: base has loss_weight={self.base.loss_weight}, '
                'where 1 alone is accepted; give that weight to SDDLoss '
                'itself.'
            )
        self.beta = check_not_negative(self, 'beta', beta)
        self.split = check_choice(self, 'split', split, ('code', 'paper'))

    def forward(
        self,
        student_region_logits: Tensor,
        teacher_region_logits: Tensor,
        labels: Tensor,
    ) -> Tensor:
        """Return the weighted loss of logits (N, K, R) as a scalar."""
        return self.mean(
            sdd_loss(
                student_region_logits,
                teacher_region_logits,
                self.hard(labels),
                self.base.per_sample,
                self.beta,
                self.split,
            )
        )
