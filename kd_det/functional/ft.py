"""FT: factors of feature maps."""

from torch import Tensor

from kd_det.functional._common import (
    check_floating,
    float32_math,
    safe_normalize,
)


@float32_math
def factor_transfer_loss(
    student_factor: Tensor, teacher_factor: Tensor
) -> Tensor:
    r"""FT: mean absolute difference between two normalised factors.

    .. math::
        \ell_i = \frac{1}{n} \sum_{j=1}^{n} \left|
        \frac{s_{ij}}{\|s_i\|_2} - \frac{t_{ij}}{\|t_i\|_2} \right|

    with the n entries of a sample flattened. An all-zero factor stays zero and
    gets no gradient.

    Args:
        student_factor: The translator's output, shape (N, ...).
        teacher_factor: The paraphraser's output, same shape; detached.

    Returns:
        Shape (N,), values in [0, 2 / sqrt(n)].

    Raises:
        ValueError: If the shapes differ or have fewer than two axes.

    Paper: https://arxiv.org/abs/1802.04977
    """
    shape, expected = tuple(student_factor.shape), tuple(teacher_factor.shape)
    if shape != expected or len(shape) < 2:
        raise ValueError(
            'student_factor and teacher_factor must have the same shape (N, '
            f'...) with at least two axes, got {shape} and {expected}; give '
            'paraphraser and translator the same output channels.'
        )
    check_floating('student_factor', student_factor)
    check_floating('teacher_factor', teacher_factor)
    student = safe_normalize(student_factor.flatten(1))
    teacher = safe_normalize(teacher_factor.detach().flatten(1))
    return (student - teacher).abs().mean(1)
