"""PKD: channel-wise correlation of feature maps."""

import math

from torch import Tensor

from kd_det.functional._common import (
    check_shapes,
    float32_math,
    safe_normalize,
)


@float32_math
def pkd_loss(student_feat: Tensor, teacher_feat: Tensor) -> Tensor:
    r"""PKD: compare feature maps up to the mean and scale of each channel.

    Each channel is standardised over its M = N H W entries, with the
    population standard deviation (divisor M):

    .. math::
        \ell = \frac{1}{2 C M} \sum_{c,m} (\hat s_{cm} - \hat t_{cm})^2
        = \frac{1}{C} \sum_c (1 - r_c)

    with :math:`r_c` the Pearson correlation of channel c. A constant channel
    is standardised to zero and gets no gradient.

    Args:
        student_feat: Shape (N, C, H, W).
        teacher_feat: Shape (N, C, H, W); detached.

    Returns:
        A scalar in [0, 2].

    Raises:
        ValueError: If the shapes differ.

    Paper: https://arxiv.org/abs/2207.02039

    Differs from the authors' code, which divides by M - 1 and adds 1e-6 to the
    standard deviation: its loss is (M - 1) / M times this one.
    """
    check_shapes(
        student_feat=(student_feat, 'N C H W'),
        teacher_feat=(teacher_feat, 'N C H W'),
    )
    if student_feat.numel() == 0:
        return student_feat.sum() * 0
    gap = _standardize(student_feat) - _standardize(teacher_feat.detach())
    return gap.square().mean() / 2


def _standardize(feat: Tensor) -> Tensor:
    channels = feat.transpose(0, 1).flatten(1)
    # Subtract one entry first, so that a constant channel becomes exactly zero
    # instead of the rounding error of its mean.
    channels = channels - channels[:, :1].detach()
    channels = channels - channels.mean(1, keepdim=True)
    return safe_normalize(channels) * math.sqrt(channels.shape[1])
