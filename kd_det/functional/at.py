"""AT: spatial attention of feature maps."""

from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    ZERO_NORM,
    check_shapes,
    float32_math,
    safe_normalize,
)


@float32_math
def attention_transfer_loss(
    student_map: Tensor, teacher_map: Tensor
) -> Tensor:
    r"""AT: compare the spatial distribution of energy in two feature maps.

    .. math::
        q(f) = \frac{a}{\|a\|_2}, \quad
        a_{hw} = \frac{1}{C} \sum_c f_{chw}^2, \qquad
        \ell_i = \frac{1}{HW} \sum_{hw} (q(s_i) - q(t_i))_{hw}^2

    The numbers of channels may differ. If the spatial sizes differ, the larger
    map is average-pooled to the smaller, each axis separately. An all-zero map
    has zero attention and gets no gradient.

    Args:
        student_map: Shape (N, C, H, W).
        teacher_map: Shape (N, C', H', W'); detached.

    Returns:
        Shape (N,), values in [0, 2 / (H W)].

    Raises:
        ValueError: If a map is not 4-d or the batch sizes differ.

    Paper: https://arxiv.org/abs/1612.03928

    Differs from the paper: uses the squared norm divided by H W, as in the
    authors' code, instead of the norm.
    """
    check_shapes(
        student_map=(student_map, 'N C H W'),
        teacher_map=(teacher_map, "N C' H' W'"),
    )
    height = min(student_map.shape[2], teacher_map.shape[2])
    width = min(student_map.shape[3], teacher_map.shape[3])
    size = height, width
    gap = _attention(student_map, size) - _attention(
        teacher_map.detach(), size
    )
    return gap.square().mean(1)


def _attention(feature_map: Tensor, size: tuple[int, int]) -> Tensor:
    if feature_map.shape[2:] != size:
        feature_map = F.adaptive_avg_pool2d(feature_map, size)
    # The attention is scale-invariant, but the squares of a small map would
    # fall below the threshold of safe_normalize.
    peak = feature_map.detach().abs().amax((1, 2, 3), keepdim=True)
    peak = peak.masked_fill(peak <= ZERO_NORM, 1)
    energy = (feature_map / peak).square().mean(1)
    return safe_normalize(energy.flatten(1))
