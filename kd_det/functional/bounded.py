"""Teacher-bounded regression: a student worse than its teacher pays."""

from torch import Tensor

from kd_det.functional._common import (
    check_finite,
    check_shapes,
    float32_math,
)


@float32_math
def teacher_bounded_loss(
    student_deltas: Tensor,
    teacher_deltas: Tensor,
    target_deltas: Tensor,
    margin: float = 0.0,
) -> Tensor:
    r"""Squared error of the student where the teacher's is not larger.

    .. math::
        \ell_i = \begin{cases}
            \|s_i - y_i\|^2 & \text{if } \|s_i - y_i\|^2 + m
                > \|t_i - y_i\|^2 \\
            0 & \text{otherwise}
        \end{cases}

    Args:
        student_deltas: Box deltas of the student, (N, E).
        teacher_deltas: Shape (N, E); detached.
        target_deltas: Deltas of the annotated boxes, (N, E); detached.
        margin: By how much, in squared deltas, the student's error must be
            below the teacher's for the loss to end.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ or ``margin`` is not finite.

    Paper: https://papers.nips.cc/paper/6676-learning-efficient-object-detection-models-with-knowledge-distillation
    """
    check_shapes(
        student_deltas=(student_deltas, 'N E'),
        teacher_deltas=(teacher_deltas, 'N E'),
        target_deltas=(target_deltas, 'N E'),
    )
    check_finite(margin=margin)
    target = target_deltas.detach()
    ours = (student_deltas - target).square().sum(1)
    theirs = (teacher_deltas.detach() - target).square().sum(1)
    # masked this way round, a student's NaN stays
    return ours.masked_fill(ours + margin <= theirs, 0)
