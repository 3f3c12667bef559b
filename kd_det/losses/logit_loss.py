"""LogitLoss: the base of per-sample logit losses."""

from torch import Tensor

from kd_det.losses.base import DistillLoss


class LogitLoss(DistillLoss):
    """Base of losses that compare the logits of each sample separately.

    Such a loss can be the base of :class:`SDDLoss`, which applies it to
    regions. A subclass implements ``per_sample``, and a ``forward`` that
    returns its mean and only takes the fields that it needs.

    Args:
        loss_weight: Constant factor of the loss.
    """

    def per_sample(
        self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor
    ) -> Tensor:
        """Return the unweighted loss (N,) of logits (N, K)."""
        raise NotImplementedError
