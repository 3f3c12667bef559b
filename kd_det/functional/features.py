"""Losses between features: embeddings (SRRL), maps (AT, HCL, PKD), factors."""

import math

from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    ZERO_NORM,
    check_choice,
    check_floating,
    check_shapes,
    float32_math,
    safe_normalize,
)

# Side lengths of the coarse views of a level in hcl_loss.
HCL_SIDES = (4, 2, 1)


@float32_math
def feature_matching_loss(
    student_embed: Tensor, teacher_embed: Tensor
) -> Tensor:
    r"""Mean squared difference of two embeddings (the FM term of SRRL).

    .. math::
        \ell_i = \frac{1}{C} \sum_c (s_{ic} - t_{ic})^2

    Args:
        student_embed: Adapted and pooled student feature, shape (N, C).
        teacher_embed: What the teacher's classifier consumes, shape (N, C);
            detached.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ.

    Paper: https://openreview.net/forum?id=ZzwDy_wiWv

    Differs from the paper: mean over the channels, as in the authors' code,
    where the paper has the squared norm.
    """
    check_shapes(
        student_embed=(student_embed, 'N C'),
        teacher_embed=(teacher_embed, 'N C'),
    )
    return (student_embed - teacher_embed.detach()).square().mean(1)


@float32_math
def softmax_regression_loss(
    cross_logits: Tensor, teacher_logits: Tensor, mode: str = 'mse'
) -> Tensor:
    r"""Compare both embeddings as the teacher's classifier sees them (SRRL).

    With :math:`z` the cross logits, :math:`z^T` those of the teacher,
    :math:`p, p^T` their softmax and :math:`q, q^T` their sigmoid:

    .. math::
        \ell^{mse} = \frac{1}{K} \sum_k (z_k - z^T_k)^2, \quad
        \ell^{ce} = -\sum_k p^T_k \log p_k, \quad
        \ell^{kl} = \sum_k p^T_k \log (p^T_k / p_k)

        \ell^{bce} = -\sum_k q^T_k \log q_k + (1 - q^T_k) \log (1 - q_k)

    'mse' and 'bce' see a common shift of the logits, 'ce' and 'kl' do not.
    'ce' is not 0 at equality: it is 'kl' plus the teacher's entropy; nor is
    'bce', which is for classifiers with a sigmoid a class.

    Args:
        cross_logits: The student's embedding through the teacher's frozen
            classifier, shape (N, K).
        teacher_logits: Shape (N, K); detached.
        mode: 'mse', 'ce', 'kl' or 'bce'.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ or the mode does not exist.

    Paper: https://openreview.net/forum?id=ZzwDy_wiWv
    """
    check_shapes(
        cross_logits=(cross_logits, 'N K'),
        teacher_logits=(teacher_logits, 'N K'),
    )
    check_choice('mode', mode, ('mse', 'ce', 'kl', 'bce'))
    teacher_logits = teacher_logits.detach()
    if mode == 'mse':
        return (cross_logits - teacher_logits).square().mean(1)
    if mode == 'bce':
        return F.binary_cross_entropy_with_logits(
            cross_logits, teacher_logits.sigmoid(), reduction='none'
        ).sum(1)
    log_student = cross_logits.log_softmax(1)
    log_teacher = teacher_logits.log_softmax(1)
    if mode == 'kl':
        log_student = log_student - log_teacher
    return -(log_teacher.exp() * log_student).sum(1)


@float32_math
def attention_transfer_loss(
    student_map: Tensor, teacher_map: Tensor
) -> Tensor:
    r"""AT: compare where two maps carry their energy.

    .. math::
        q(f) = \frac{a}{\|a\|_2}, \quad
        a_{hw} = \frac{1}{C} \sum_c f_{chw}^2, \qquad
        \ell_i = \frac{1}{HW} \sum_{hw} (q(s_i) - q(t_i))_{hw}^2

    The channel counts may differ. Where the spatial sizes do, the larger map
    is average-pooled to the smaller, each axis by itself. A map that is zero
    everywhere has zero attention and gets no gradient.

    Args:
        student_map: Shape (N, C, H, W).
        teacher_map: Shape (N, C', H', W'); detached.

    Returns:
        Shape (N,), values in [0, 2 / (H W)].

    Raises:
        ValueError: If a map is not 4-d or the batch sizes differ.

    Paper: https://arxiv.org/abs/1612.03928

    Differs from the paper: the squared norm divided by H W, as in the
    authors' code, where the paper has the norm.
    """
    check_shapes(
        student_map=(student_map, 'N C H W'),
        teacher_map=(teacher_map, "N C' H' W'"),
    )
    height = min(student_map.shape[2], teacher_map.shape[2])
    width = min(student_map.shape[3], teacher_map.shape[3])
    size = [height, width]
    gap = _attention(student_map, size) - _attention(
        teacher_map.detach(), size
    )
    return gap.square().mean(1)


def _attention(feature_map: Tensor, size: list[int]) -> Tensor:
    if list(feature_map.shape[2:]) != size:
        feature_map = F.adaptive_avg_pool2d(feature_map, size)
    # The attention does not depend on the scale of the map, but the squares
    # of a small map would fall under the threshold of safe_normalize.
    peak = feature_map.detach().abs().amax((1, 2, 3), keepdim=True)
    peak = peak.masked_fill(peak <= ZERO_NORM, 1)
    energy = (feature_map / peak).square().mean(1)
    return safe_normalize(energy.flatten(1))


@float32_math
def factor_transfer_loss(
    student_factor: Tensor, teacher_factor: Tensor
) -> Tensor:
    r"""FT: mean absolute difference of two normalised factors.

    .. math::
        \ell_i = \frac{1}{n} \sum_{j=1}^{n} \left|
        \frac{s_{ij}}{\|s_i\|_2} - \frac{t_{ij}}{\|t_i\|_2} \right|

    with the n entries of a sample taken as one vector. A factor that is zero
    everywhere stays zero and gets no gradient.

    Args:
        student_factor: The translator's output, shape (N, ...).
        teacher_factor: The paraphraser's output, of the same shape; detached.

    Returns:
        Shape (N,), values in [0, 2 / sqrt(n)].

    Raises:
        ValueError: If the shapes differ or have fewer than two axes.

    Paper: https://arxiv.org/abs/1802.04977
    """
    shape, expected = tuple(student_factor.shape), tuple(teacher_factor.shape)
    if shape != expected or len(shape) < 2:
        raise ValueError(
            'student_factor and teacher_factor must have one shape (N, ...) '
            f'of at least two axes, got {shape} and {expected}; give '
            'paraphraser and translator the same number of output channels.'
        )
    check_floating('student_factor', student_factor)
    check_floating('teacher_factor', teacher_factor)
    student = safe_normalize(student_factor.flatten(1))
    teacher = safe_normalize(teacher_factor.detach().flatten(1))
    return (student - teacher).abs().mean(1)


@float32_math
def hcl_loss(
    student_feats: list[Tensor], teacher_feats: list[Tensor]
) -> Tensor:
    r"""Hierarchical context loss of ReviewKD, summed over the levels.

    A level of height h is compared as it is, and average-pooled to each side
    length l of 4, 2, 1 below h; the j-th of these has the weight
    :math:`2^{-j}`:

    .. math::
        \ell_i = \sum_{levels} \frac{m(s_i, t_i) + \sum_j 2^{-j}
        m(\mathrm{pool}_{l_j} s_i, \mathrm{pool}_{l_j} t_i)}{1 + \sum_j 2^{-j}}

    where m is the mean squared difference over the entries of the sample.

    Args:
        student_feats: Fused student maps, one (N, C, H, W) a level.
        teacher_feats: Teacher maps of the same shapes; detached.

    Returns:
        Shape (N,); its mean is the loss of the paper.

    Raises:
        TypeError: If an argument is not a list or tuple of tensors.
        ValueError: If there is no level, or the number of levels, a shape or
            the batch size of two levels differs.

    Paper: https://arxiv.org/abs/2104.09044
    """
    _check_levels(student_feats, teacher_feats)
    return sum(
        _level_loss(student, teacher.detach())
        for student, teacher in zip(student_feats, teacher_feats, strict=True)
    )


def _check_levels(student_feats: list[Tensor], teacher_feats: list[Tensor]):
    feats = {'student_feats': student_feats, 'teacher_feats': teacher_feats}
    for name, levels in feats.items():
        if not isinstance(levels, (list, tuple)):
            raise TypeError(
                f'{name} must be a list of tensors, one a level, got '
                f'{type(levels).__name__}; put a single map in a list.'
            )
    if not student_feats or len(student_feats) != len(teacher_feats):
        raise ValueError(
            'student_feats and teacher_feats must hold the same number of '
            f'levels, at least one, got {len(student_feats)} and '
            f'{len(teacher_feats)}; drop the levels that have no partner.'
        )
    named = {}
    for i, (student, teacher) in enumerate(
        zip(student_feats, teacher_feats, strict=True)
    ):
        layout = f'N C{i} H{i} W{i}'
        named[f'student_feats[{i}]'] = (student, layout)
        named[f'teacher_feats[{i}]'] = (teacher, layout)
    check_shapes(**named)


def _level_loss(student: Tensor, teacher: Tensor) -> Tensor:
    loss, total, weight = _mean_square(student, teacher), 1.0, 1.0
    for side in HCL_SIDES:
        # Only the height decides, as in the authors' code.
        if side < student.shape[2]:
            weight /= 2
            total += weight
            loss = loss + weight * _mean_square(
                F.adaptive_avg_pool2d(student, side),
                F.adaptive_avg_pool2d(teacher, side),
            )
    return loss / total


def _mean_square(student: Tensor, teacher: Tensor) -> Tensor:
    return (student - teacher).square().mean((1, 2, 3))


@float32_math
def pkd_loss(student_feat: Tensor, teacher_feat: Tensor) -> Tensor:
    r"""PKD: feature imitation that ignores the mean and scale of a channel.

    Each channel is standardised over its M = N H W entries, with the
    population standard deviation (divisor M):

    .. math::
        \ell = \frac{1}{2 C M} \sum_{c,m} (\hat s_{cm} - \hat t_{cm})^2
        = \frac{1}{C} \sum_c (1 - r_c)

    with :math:`r_c` Pearson's correlation of channel c. A channel that is
    constant standardises to zero and gets no gradient.

    Args:
        student_feat: Shape (N, C, H, W).
        teacher_feat: Shape (N, C, H, W); detached.

    Returns:
        A scalar in [0, 2].

    Raises:
        ValueError: If the shapes differ.

    Paper: https://arxiv.org/abs/2207.02039

    Differs from the authors' code: it divides by M - 1 and adds 1e-6 to the
    deviation, which makes its loss (M - 1) / M of this one.
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
    # First minus one of its own entries, so that a constant channel becomes
    # exactly zero rather than the rounding error of its mean.
    channels = channels - channels[:, :1].detach()
    channels = channels - channels.mean(1, keepdim=True)
    return safe_normalize(channels) * math.sqrt(channels.shape[1])
