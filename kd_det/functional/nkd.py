"""NKD: normalised target and non-target terms."""

from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    check_choice,
    check_finite,
    check_labelled_logits,
    float32_math,
)
from kd_det.functional.dkd import check_non_target, decouple


@float32_math
def nkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    gamma: float = 1.5,
    tau: float = 1.0,
    mask_target: bool = True,
) -> Tensor:
    r"""Normalised KD: soft target term and normalised non-target term.

    .. math::
        \ell_i = -p^t_y \log p^s_y
            - \gamma \tau^2 \sum_{k \ne y} q^t_k \log q^s_k

    The first term has no temperature; :math:`q` is the softmax at
    :math:`\tau` over the classes other than :math:`y`. Both are
    cross-entropies: equal logits do not give 0.

    Args:
        student_logits: Shape (N, K), K >= 2.
        teacher_logits: Shape (N, K); detached.
        labels: Shape (N,), integers in [0, K).
        gamma: Weight of the non-target term.
        tau: Temperature of the non-target term.
        mask_target: Whether the second term excludes the target class; False
            sums over all K classes, as in SDD's code.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If shapes differ, a label is outside [0, K), K < 2 with
            ``mask_target``, or ``tau`` is not above 0.

    Paper: https://arxiv.org/abs/2303.13005

    Differs from the authors' code: in its first release, and in SDD, the mask
    has no effect; ``mask_target=False`` reproduces that.
    """
    labels = check_labelled_logits(student_logits, teacher_logits, labels, tau)
    check_finite(gamma=gamma)
    check_choice('mask_target', mask_target, (True, False))
    teacher_logits = teacher_logits.detach()
    index = labels[:, None]
    p_t = F.softmax(teacher_logits, dim=1).gather(1, index)[:, 0]
    log_p_s = F.log_softmax(student_logits, dim=1).gather(1, index)[:, 0]
    z_s, z_t = student_logits / tau, teacher_logits / tau
    if mask_target:
        check_non_target(student_logits)
        _, _, log_q_s = decouple(z_s, labels)
        _, _, log_q_t = decouple(z_t, labels)
    else:
        log_q_s = F.log_softmax(z_s, dim=1)
        log_q_t = F.log_softmax(z_t, dim=1)
    non_target = (log_q_t.exp() * log_q_s).sum(1)
    return -p_t * log_p_s - gamma * tau**2 * non_target
