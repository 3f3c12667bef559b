"""Base of losses whose rows are weighted by the teacher's confidence."""

import torch
from torch import Tensor

from kd_det.losses.base import DistillLoss, over_ranks


class ConfidentLoss(DistillLoss):
    """Base of losses weighted by the teacher's confidence."""

    def confident_mean(
        self,
        per_row: Tensor,
        teacher_logits: Tensor,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted mean over rows (averaged over ranks).

        Args:
            per_row: Loss of each location or query, (M,).
            teacher_logits: Class logits (M, K), whose largest probability is
                the weight of a row.
            mask: Rows to use, boolean (M,); default: all.
        """
        weight = teacher_logits.detach().to(per_row.dtype).sigmoid().amax(1)
        if mask is not None:
            per_row = torch.where(mask, per_row, 0.0)
            weight = weight * mask
        total = over_ranks(weight.sum())
        return self.weigh(
            (per_row * weight).sum() / torch.where(total > 0, total, 1.0)
        )
