"""AT: where a map carries its energy."""

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
    size = height, width
    gap = _attention(student_map, size) - _attention(
        teacher_map.detach(), size
    )
    return gap.square().mean(1)


def _attention(feature_map: Tensor, size: tuple[int, int]) -> Tensor:
    if feature_map.shape[2:] != size:
        feature_map = F.adaptive_avg_pool2d(feature_map, size)
    # The attention does not depend on the scale of the map, but the squares
    # of a small map would fall under the threshold of safe_normalize.
    peak = feature_map.detach().abs().amax((1, 2, 3), keepdim=True)
    peak = peak.masked_fill(peak <= ZERO_NORM, 1)
    energy = (feature_map / peak).square().mean(1)
    return safe_normalize(energy.flatten(1))
