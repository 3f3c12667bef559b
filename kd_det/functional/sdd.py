"""Scale-decoupled distillation: a logit loss on image regions."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    check_choice,
    check_finite,
    check_labels,
    check_shapes,
    float32_math,
)

BaseLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


@float32_math
def region_pool(
    feature_map: Tensor,
    scales: Sequence[int] = (1, 2, 4),
    via_4x4: bool = False,
) -> Tensor:
    r"""Average a feature map over the cells of several grids.

    Cell (i, j) at scale m is the mean over rows :math:`\lfloor iH/m \rfloor`
    to :math:`\lceil (i+1)H/m \rceil` and the corresponding columns, so cells
    overlap if m does not divide the size, and repeat if m exceeds it.

    Args:
        feature_map: Shape (N, C, H, W).
        scales: Cells per side of each grid; R is the sum of their squares. 1
            must come first, since :func:`sdd_weights` uses region 0 as the
            global region.
        via_4x4: Whether to pool to 4x4 first and compute every grid from that,
            as in the authors' code; equivalent if 4 divides H and W.

    Returns:
        Shape (N, C, R), in the order of ``scales``, each grid row by row.

    Raises:
        ValueError: If the map is not 4-d or has an empty side, or a scale is
            not a positive integer.

    Paper: https://arxiv.org/abs/2403.13512

    Differs from the authors' code: grids are pooled from the map itself unless
    ``via_4x4`` is set, so region 0 of a 7x7 map is the global average.
    """
    check_shapes(feature_map=(feature_map, 'N C H W'))
    if 0 in feature_map.shape[1:]:
        raise ValueError(
            f'feature_map must have no empty axis besides N, got shape '
            f'{tuple(feature_map.shape)}; feed a larger image.'
        )
    check_choice('via_4x4', via_4x4, (True, False))
    if not _are_scales(scales):
        raise ValueError(
            f'scales must be one or more integers above 0, got {scales!r}; '
            'use for instance (1, 2, 4).'
        )
    if via_4x4:
        feature_map = F.adaptive_avg_pool2d(feature_map, 4)
    grids = [
        F.adaptive_avg_pool2d(feature_map, scale).flatten(2)
        for scale in scales
    ]
    return torch.cat(grids, dim=2)


def _are_scales(scales: Sequence[int]) -> bool:
    if isinstance(scales, str) or not isinstance(scales, Sequence):
        return False
    whole = [isinstance(s, int) and not isinstance(s, bool) for s in scales]
    return bool(whole) and all(whole) and min(scales) > 0


@float32_math
@torch.no_grad()
def sdd_weights(
    teacher_region_logits: Tensor,
    labels: Tensor,
    beta: float = 2.0,
    split: str = 'code',
    consistent: float = 1.0,
) -> Tensor:
    r"""Weight of each region: ``beta`` if complementary, else ``consistent``.

    With :math:`\hat g` the teacher's prediction for region 0 (the whole image)
    and :math:`\hat l` its prediction for a region, the region is complementary
    if

    * ``'code'``: exactly one of the two equals the label; two different wrong
      classes are consistent;
    * ``'paper'``: :math:`\hat l \ne \hat g`.

    All other regions are consistent, among them the whole image. For tied
    logits the first class is predicted.

    Args:
        teacher_region_logits: Raw logits, shape (N, K, R), region 0 global.
        labels: Shape (N,), integers in [0, K).
        beta: Weight of a complementary region.
        split: ``'code'`` or ``'paper'``.
        consistent: Weight of a consistent region.

    Returns:
        Shape (N, R), without gradients; column 0 is all ``consistent``.

    Raises:
        ValueError: If the shapes do not match, there is no class or region, a
            label is outside [0, K), or ``split`` is unknown.

    Paper: https://arxiv.org/abs/2403.13512
    """
    check_shapes(
        teacher_region_logits=(teacher_region_logits, 'N K R'),
        labels=(labels, 'N'),
    )
    check_finite(beta=beta, consistent=consistent)
    check_choice('split', split, ('code', 'paper'))
    if 0 in teacher_region_logits.shape[1:]:
        raise ValueError(
            'teacher_region_logits must have at least one class and one '
            f'region, got shape {tuple(teacher_region_logits.shape)}.'
        )
    labels = check_labels(labels, teacher_region_logits.shape[1])
    verdict = teacher_region_logits.argmax(1)
    if split == 'code':
        verdict = verdict == labels[:, None]
    weights = torch.full_like(teacher_region_logits[:, 0], consistent)
    return weights.masked_fill(verdict != verdict[:, :1], beta)


@float32_math
def sdd_loss(
    student_region_logits: Tensor,
    teacher_region_logits: Tensor,
    labels: Tensor,
    base: BaseLoss,
    beta: float = 2.0,
    split: str = 'code',
    consistent: float = 1.0,
) -> Tensor:
    r"""SDD: weighted mean of a logit loss over regions.

    .. math::
        \ell_i = \frac1R \sum_r \omega_{ir} \,
            \operatorname{base}(s_{ir}, t_{ir}, y_i)

    with :math:`\omega` from :func:`sdd_weights`. For R = 1 it equals ``base``.

    Args:
        student_region_logits: Shape (N, K, R), region 0 global.
        teacher_region_logits: Shape (N, K, R); detached.
        labels: Shape (N,), integers in [0, K).
        base: Per-sample loss, called once on all N * R regions as
            ``base(student (M, K), teacher (M, K), labels (M,)) -> (M,)``.
        beta: Weight of a complementary region.
        split: ``'code'`` or ``'paper'``, see :func:`sdd_weights`.
        consistent: Weight of a consistent region.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes do not match, a label is outside [0, K),
            ``split`` is unknown, or ``base`` does not return shape (M,).

    Paper: https://arxiv.org/abs/2403.13512

    Differs from the authors' code: NaN is not replaced by 0.
    """
    check_shapes(
        student_region_logits=(student_region_logits, 'N K R'),
        teacher_region_logits=(teacher_region_logits, 'N K R'),
        labels=(labels, 'N'),
    )
    teacher_region_logits = teacher_region_logits.detach()
    weights = sdd_weights(
        teacher_region_logits, labels, beta, split, consistent
    )
    loss = base(
        _flatten(student_region_logits),
        _flatten(teacher_region_logits),
        labels.long().repeat_interleave(weights.shape[1]),
    )
    if loss.shape != (weights.numel(),):
        raise ValueError(
            'base must return one loss per region, shape '
            f'({weights.numel()},), got {tuple(loss.shape)}; do not reduce '
            'it.'
        )
    return (weights * loss.reshape(weights.shape)).mean(1)


def _flatten(region_logits: Tensor) -> Tensor:
    """Reshape (N, K, R) to (N * R, K), grouped by sample."""
    return region_logits.transpose(1, 2).flatten(0, 1)
