"""OFD: feature maps before the ReLU."""

import math

import torch
from torch import Tensor

from kd_det.functional._common import check_shapes, float32_math

# Probability of a negative value from which the conditional mean is used.
NEGATIVE_SHARE = 1e-3


@float32_math
def ofd_loss(
    student_map: Tensor, teacher_map: Tensor, margin: Tensor
) -> Tensor:
    r"""OFD: squared difference, ignoring values that the ReLU discards.

    .. math::
        t' = \max(t, m_c), \qquad
        \ell_i = \sum_{chw} [s > t' \text{ or } t' > 0] \, (s - t')^2

    Where the teacher is not positive, the student only has to be at most
    :math:`t'`.

    Args:
        student_map: Student map before the ReLU, after the connector, (N, C,
            H, W).
        teacher_map: Teacher map before the ReLU, same shape; detached.
        margin: Margin of each channel, see :func:`ofd_margin`, shape (C,);
            detached.

    Returns:
        Shape (N,), summed over the entries; the authors divide by 1000 (CIFAR)
        or 10000 (ImageNet).

    Raises:
        ValueError: If the shapes do not match.

    Paper: https://arxiv.org/abs/1904.01866
    """
    check_shapes(
        student_map=(student_map, 'N C H W'),
        teacher_map=(teacher_map, 'N C H W'),
        margin=(margin, 'C'),
    )
    margin = margin.detach()[:, None, None]
    target = torch.maximum(teacher_map.detach(), margin)
    satisfied = (student_map <= target) & (target <= 0)
    gap = (student_map - target).masked_fill(satisfied, 0)
    return gap.square().sum((1, 2, 3))


@float32_math
@torch.no_grad()
def ofd_margin(bn_weight: Tensor, bn_bias: Tensor) -> Tensor:
    r"""Expected negative value of a channel after batch normalisation.

    With :math:`g = |\gamma|` and the density and cumulative distribution
    :math:`\varphi, \Phi` of the standard normal distribution:

    .. math::
        m = E[x \mid x < 0] = \beta - g \,
        \frac{\varphi(\beta / g)}{\Phi(-\beta / g)}, \qquad
        x \sim \mathcal N(\beta, g^2)

    if :math:`\Phi(-\beta / g) > 10^{-3}`, otherwise :math:`-3 g`. For a weight
    of 0 it is the limit, :math:`\min(\beta, 0)`.

    Args:
        bn_weight: :math:`\gamma` of the teacher's last normalisation before
            the ReLU, shape (C,).
        bn_bias: :math:`\beta`, shape (C,).

    Returns:
        Shape (C,), finite and at most 0, without gradients.

    Raises:
        ValueError: If the shapes differ or are not 1-d.

    Paper: https://arxiv.org/abs/1904.01866

    Differs from the authors' code: a weight of 0 does not divide by zero.
    """
    check_shapes(bn_weight=(bn_weight, 'C'), bn_bias=(bn_bias, 'C'))
    spread = bn_weight.abs()
    # For weight 0 any divisor works, since the result is multiplied by 0.
    z = bn_bias / spread.masked_fill(spread == 0, 1)
    share = torch.special.ndtr(-z)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    margin = torch.where(
        share <= NEGATIVE_SHARE,
        -3 * spread,
        bn_bias - spread * density / share,
    )
    # It can exceed 0 by rounding, or for a channel with weight 0.
    return margin.clamp(max=0)
