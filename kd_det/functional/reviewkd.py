"""ReviewKD: feature maps at several resolutions."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    check_shapes,
    float32_math,
    total,
)

# Sizes to which hcl_loss pools each level.
HCL_SIDES = (4, 2, 1)


@float32_math
def hcl_loss(
    student_feats: Sequence[Tensor], teacher_feats: Sequence[Tensor]
) -> Tensor:
    r"""Hierarchical context loss (HCL) of ReviewKD, summed over levels.

    A level of height h is compared at full size and average-pooled to each
    size l in {4, 2, 1} smaller than h; the j-th of these has weight
    :math:`2^{-j}`:

    .. math::
        \ell_i = \sum_{levels} \frac{m(s_i, t_i) + \sum_j 2^{-j}
        m(\mathrm{pool}_{l_j} s_i, \mathrm{pool}_{l_j} t_i)}{1 + \sum_j 2^{-j}}

    where m is the mean squared difference over the entries of a sample.

    Args:
        student_feats: Fused student maps, one (N, C, H, W) per level.
        teacher_feats: Teacher maps of the same shapes; detached.

    Returns:
        Shape (N,); its mean is the loss of the paper.

    Raises:
        TypeError: If an argument is not a list or tuple of tensors.
        ValueError: If there is no level, or the numbers of levels, shapes or
            batch sizes differ.

    Paper: https://arxiv.org/abs/2104.09044
    """
    _check_levels(student_feats, teacher_feats)
    return total(
        _level_loss(student, teacher.detach())
        for student, teacher in zip(student_feats, teacher_feats, strict=True)
    )


def _check_levels(
    student_feats: Sequence[Tensor], teacher_feats: Sequence[Tensor]
):
    feats = {'student_feats': student_feats, 'teacher_feats': teacher_feats}
    for name, levels in feats.items():
        if not isinstance(levels, (list, tuple)):
            raise TypeError(
                f'{name} must be a list of tensors, one per level, got '
                f'{type(levels).__name__}; put a single map in a list.'
            )
    if not student_feats or len(student_feats) != len(teacher_feats):
        raise ValueError(
            'student_feats and teacher_feats must have the same number of '
            f'levels, at least one, got {len(student_feats)} and '
            f'{len(teacher_feats)}; drop levels without a counterpart.'
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
