"""SDD: a logit loss on image regions."""

from collections.abc import Callable

import torch
from torch import Tensor

from kd_det.checks import check_choice, check_not_negative
from kd_det.errors import UserError
from kd_det.functional import sdd_loss
from kd_det.losses.base import DistillLoss
from kd_det.losses.logit_loss import LogitLoss
from kd_det.registry import MODELS, build_part


@MODELS.register_module()
class SDDLoss(DistillLoss):
    r"""Weighted mean of a logit loss over regions, averaged over samples.

    .. math:: L = \frac{1}{NR} \sum_i \sum_r \omega_{ir} \,
        \operatorname{base}(s_{ir}, t_{ir}, y_i)

    with :math:`\omega = \beta` if the teacher is correct for exactly one of
    the region and the image, otherwise ``consistent``. Region 0 is the whole
    image. For a detector a sample is a RoI or a box, and the mean is over the
    regions that the distiller marks.

    Args:
        base: Config of a :class:`LogitLoss`. Set ``loss_weight`` here, not in
            the base.
        beta: Weight of a complementary region.
        split: Criterion for complementary regions: ``'code'`` as above,
            ``'paper'`` if the teacher's predictions for region and image
            differ.
        consistent: Weight of any other region, the whole image included; 0
            for the complementary regions alone.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: The base is not a ``LogitLoss`` or has a weight, or an
            argument is out of range.

    Paper: https://arxiv.org/abs/2403.13512

    Differs from the authors' code: NaN is not replaced by 0.
    """

    hard_labels = True

    def __init__(
        self,
        base: dict,
        beta: float = 2.0,
        split: str = 'code',
        consistent: float = 1.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(loss_weight)
        if isinstance(base, dict):  # resolve types in kd_det's scope
            base = {'_scope_': 'kd_det', **base}
        self.base = build_part('base of SDDLoss', base, LogitLoss)
        self.least_classes = self.base.least_classes
        if self.base.loss_weight != 1:
            raise UserError(
                f'SDDLoss: base has loss_weight={self.base.loss_weight}, '
                'where only 1 is accepted; set the weight in SDDLoss.'
            )
        self.beta = check_not_negative(self, 'beta', beta)
        self.consistent = check_not_negative(self, 'consistent', consistent)
        self.split = check_choice(self, 'split', split, ('code', 'paper'))

    def forward(
        self,
        student_region_logits: Tensor,
        teacher_region_logits: Tensor,
        region_labels: Tensor,
        region_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of logits (N, K, R) as a scalar.

        A mask (N, R) marks the regions to use.
        """
        labels = self.hard(region_labels)
        base = self.base.per_sample
        if region_mask is not None:
            base = _masked(base, region_mask.flatten())
        per_sample = sdd_loss(
            student_region_logits,
            teacher_region_logits,
            labels,
            base,
            self.beta,
            self.split,
            self.consistent,
        )
        if region_mask is None:
            return self.mean(per_sample)
        # the mean over a sample's selected regions
        count = region_mask.sum(1).clamp(min=1)
        share = per_sample * region_mask.shape[1] / count
        share = share[:, None].expand(region_mask.shape)
        return self.mean(share.flatten(), region_mask.flatten())


def _masked(base: Callable, mask: Tensor) -> Callable:
    def masked(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        return torch.where(mask, base(student, teacher, labels), 0.0)

    return masked
