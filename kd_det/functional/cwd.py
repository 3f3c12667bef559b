"""CWD: where each channel is active."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    check_mask,
    check_positive,
    check_shapes,
    float32_math,
)
from kd_det.functional.kd import kl


@float32_math
def cwd_loss(
    student_feat: Tensor,
    teacher_feat: Tensor,
    tau: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    r"""CWD: KL divergence of the spatial distributions of each channel.

    .. math::
        \ell_i = \frac{\tau^2}{C} \sum_c \sum_x
            p^t_{icx} \log \frac{p^t_{icx}}{p^s_{icx}}, \qquad
        p_{icx} = \frac{\exp(f_{icx} / \tau)}{\sum_y \exp(f_{icy} / \tau)}

    over the positions x, y of a map. A constant added to a channel does not
    change the loss.

    Args:
        student_feat: Shape (N, C, H, W).
        teacher_feat: Shape (N, C, H, W); detached.
        tau: Temperature.
        mask: Positions to use, boolean (N, 1, H, W); default: all. An image
            without any has loss 0.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ or ``tau`` is not above 0.
        TypeError: If ``mask`` is not boolean.

    Paper: https://arxiv.org/abs/2011.13256
    """
    check_shapes(
        student_feat=(student_feat, 'N C H W'),
        teacher_feat=(teacher_feat, 'N C H W'),
    )
    check_mask(mask, student_feat)
    check_positive('tau', tau)
    log_s = _log_softmax(student_feat / tau, mask)
    log_t = _log_softmax(teacher_feat.detach() / tau, mask)
    return kl(log_s, log_t).mean(1) * tau**2


def _log_softmax(feat: Tensor, mask: Tensor | None) -> Tensor:
    """Return the log-probabilities (N, H W, C), 0 outside the mask."""
    feat = feat.flatten(2).transpose(1, 2)
    if mask is None:
        return F.log_softmax(feat, dim=1)
    outside = ~mask.flatten(2).transpose(1, 2)
    # the lowest number instead of minus infinity, which would give NaN in an
    # image without any position
    lowest = torch.finfo(feat.dtype).min
    log_p = F.log_softmax(feat.masked_fill(outside, lowest), dim=1)
    return log_p.masked_fill(outside, 0)
