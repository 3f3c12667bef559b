"""LogitLoss: the losses of logits that have a value for each sample."""

from torch import Tensor

from kd_det.losses.base import DistillLoss


class LogitLoss(DistillLoss):
    """Base of the losses that compare the logits of one sample at a time.

    Such a loss can be the base of :class:`SDDLoss`, which applies it to
    regions. A subclass writes ``per_sample`` and a ``forward`` that takes
    its mean; the parameters of ``forward`` are the wiring, so a loss without
    labels does not ask for them.

    Args:
        loss_weight: Constant factor of the loss.
    """

    def per_sample(
        self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor
    ) -> Tensor:
        """Return the unweighted loss (N,) of logits (N, K)."""
        raise NotImplementedError
