"""Base of losses whose rows have weights."""

import torch
from torch import Tensor

from kd_det.losses.base import DistillLoss, over_ranks


class ConfidentLoss(DistillLoss):
    """Base of losses weighted by the teacher's confidence."""

    def confident_mean(
        self, per_row: Tensor, weight: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Return the weighted mean over rows (averaged over ranks).

        Args:
            per_row: Loss of each location or query, (M,).
            weight: Weight of each row, (M,), without a gradient.
            mask: Rows to use, boolean (M,); default: all.
        """
        weight = weight.to(per_row.dtype)
        if mask is not None:
            per_row = torch.where(mask, per_row, 0.0)
            weight = weight * mask
        total = over_ranks(weight.sum())
        return self.weigh(
            (per_row * weight).sum() / torch.where(total > 0, total, 1.0)
        )


def confidence(teacher_logits: Tensor) -> Tensor:
    """Return the largest class probability of each row.

    Args:
        teacher_logits: Logits of independent classes, (M, K).

    Returns:
        Shape (M,), at least float32, without a gradient.
    """
    logits = teacher_logits.detach()
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return wide.sigmoid().amax(1)
