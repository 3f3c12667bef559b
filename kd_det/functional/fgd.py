"""FGD: focal and global comparison of feature maps."""

import torch
from torch import Tensor

from kd_det.functional._common import (
    check_finite,
    check_mask,
    check_positive,
    check_shapes,
    float32_math,
)


def _attention(
    feat: Tensor, tau: float, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    r"""Return the spatial (N, H, W) and the channel attention (N, C).

    .. math::
        a_x = X \operatorname{softmax}_x\left(
            \frac{1}{\tau C} \sum_c |f_{cx}| \right), \qquad
        b_c = C \operatorname{softmax}_c\left(
            \frac{1}{\tau X} \sum_x |f_{cx}| \right)

    over the X positions x inside the mask; a is 0 outside.
    """
    energy = feat.flatten(2).abs()
    inside = energy.new_ones(len(energy), energy.shape[2])
    if mask is not None:
        inside = mask.flatten(1).to(energy.dtype)
    count = inside.sum(1, keepdim=True).clamp(min=1)
    # the lowest number instead of minus infinity, which would give NaN in an
    # image without any position
    lowest = torch.finfo(energy.dtype).min
    logits = (energy.mean(1) / tau).masked_fill(inside == 0, lowest)
    spatial = count * logits.softmax(1) * inside
    logits = (energy * inside[:, None]).sum(2) / count / tau
    channel = feat.shape[1] * logits.softmax(1)
    return spatial.unflatten(1, feat.shape[2:]), channel


@float32_math
def fgd_focal_loss(
    student_feat: Tensor,
    teacher_feat: Tensor,
    areas: Tensor,
    alpha: float = 1e-3,
    beta: float = 5e-4,
    tau: float = 0.5,
    mask: Tensor | None = None,
) -> Tensor:
    r"""FGD's feature loss: squares weighted by objects and attention.

    .. math::
        \ell_i = \sum_x w_x a_x \sum_c b_c (s_{icx} - t_{icx})^2, \qquad
        w_x = \begin{cases}
            \alpha / A_x & \text{in an object with } A_x \text{ positions} \\
            \beta / B & \text{in the background, which has } B
        \end{cases}

    with the teacher's spatial and channel attention a, b, see
    :func:`fgd_attention_loss`. An object has the same weight whatever its
    size.

    Args:
        student_feat: Shape (N, C, H, W).
        teacher_feat: Shape (N, C, H, W); detached.
        areas: Number of positions of the smallest object that covers a
            position, 0 in the background, shape (N, H, W).
        alpha: Weight of the objects.
        beta: Weight of the background.
        tau: Temperature of the attention.
        mask: Positions to use, boolean (N, 1, H, W); default: all.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ or an argument is out of range.
        TypeError: If ``mask`` is not boolean.

    Paper: https://arxiv.org/abs/2111.11837
    """
    check_shapes(
        student_feat=(student_feat, 'N C H W'),
        teacher_feat=(teacher_feat, 'N C H W'),
        areas=(areas, 'N H W'),
    )
    check_mask(mask, student_feat)
    check_positive('tau', tau)
    check_finite(alpha=alpha, beta=beta)
    teacher_feat = teacher_feat.detach()
    spatial, channel = _attention(teacher_feat, tau, mask)
    areas = areas.to(student_feat.dtype)
    ground = (areas == 0).to(areas.dtype)
    if mask is not None:
        ground = ground * mask[:, 0]
    count = ground.sum((1, 2)).clamp(min=1)[:, None, None]
    object_weight = alpha / areas.clamp(min=1)
    weight = torch.where(areas > 0, object_weight, beta * ground / count)
    gap = (student_feat - teacher_feat).square() * channel[..., None, None]
    return (gap.sum(1) * weight * spatial).sum((1, 2))


@float32_math
def fgd_attention_loss(
    student_feat: Tensor,
    teacher_feat: Tensor,
    tau: float = 0.5,
    mask: Tensor | None = None,
) -> Tensor:
    r"""FGD's attention loss: L1 distance of both attentions.

    .. math::
        \ell_i = \sum_x |a_x(s_i) - a_x(t_i)| + \sum_c |b_c(s_i) - b_c(t_i)|

    .. math::
        a_x(f) = X \operatorname{softmax}_x\left(
            \frac{1}{\tau C} \sum_c |f_{cx}| \right), \qquad
        b_c(f) = C \operatorname{softmax}_c\left(
            \frac{1}{\tau X} \sum_x |f_{cx}| \right)

    over the C channels c and the X positions x of a map.

    Args:
        student_feat: Shape (N, C, H, W).
        teacher_feat: Shape (N, C, H, W); detached.
        tau: Temperature of the attention.
        mask: Positions to use, boolean (N, 1, H, W); default: all.

    Returns:
        Shape (N,), values in [0, 2 (H W + C)].

    Raises:
        ValueError: If the shapes differ or ``tau`` is not above 0.
        TypeError: If ``mask`` is not boolean.

    Paper: https://arxiv.org/abs/2111.11837

    Differs from the paper: the sum over entries, as in the authors' code,
    whose weights are for sums.
    """
    check_shapes(
        student_feat=(student_feat, 'N C H W'),
        teacher_feat=(teacher_feat, 'N C H W'),
    )
    check_mask(mask, student_feat)
    check_positive('tau', tau)
    ours = _attention(student_feat, tau, mask)
    theirs = _attention(teacher_feat.detach(), tau, mask)
    spatial, channel = ((a - b).abs() for a, b in zip(ours, theirs))
    return spatial.sum((1, 2)) + channel.sum(1)
