"""RKD: distances and angles between samples."""

import torch
from torch import Tensor

from kd_det.checks import check_choice, check_count
from kd_det.functional import rkd_angle_loss, rkd_distance_loss
from kd_det.functional._common import (
    check_shapes,
    float32_math,
    safe_normalize,
)
from kd_det.losses.gather import gather_rows, global_gradient
from kd_det.losses.nd import EmbeddingLoss
from kd_det.registry import MODELS

# IoU above which two regions of an image are duplicates
SAME = 0.95


class RelationalLoss(EmbeddingLoss):
    """Base of relational losses: selects the rows to relate.

    All rows of a batch are related, whatever image they come from. Detector
    regions whose IoU with an earlier region of the same image exceeds 0.95 are
    dropped: the proposals include the annotated boxes, and duplicates carry no
    relation.

    Args:
        background: Rows to relate, ``'all'`` or ``'foreground'``.
        max_samples: Maximum number of rows, subsampled at even spacing without
            random numbers; default: all. Time grows with its cube.
        gather: Whether to relate the rows of all ranks, as one process with
            the global batch would; otherwise each rank relates its own.
        normalize: Whether to L2-normalise the rows of both networks first.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: An argument is out of range.
    """

    entrywise = False

    def __init__(
        self,
        background: str = 'all',
        max_samples: int | None = None,
        gather: bool = False,
        normalize: bool = False,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(background, loss_weight)
        if max_samples is not None:
            check_count(self, 'max_samples', max_samples, 3)
        self.max_samples = max_samples
        self.gather = check_choice(self, 'gather', gather, (True, False))
        self.normalize = check_choice(
            self, 'normalize', normalize, (True, False)
        )

    def relate(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the unweighted loss of the related rows as a scalar."""
        raise NotImplementedError

    def forward(
        self,
        student_embed: Tensor,
        teacher_embed: Tensor,
        foreground: Tensor | None = None,
        rois: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of embeddings (N, Ds), (N, Dt).

        Args:
            student_embed: Shape (N, Ds).
            teacher_embed: Shape (N, Dt).
            foreground: Mask (N,) of the foreground rows.
            rois: Regions (N, 5): image index, x1, y1, x2, y2.
        """
        # checked before rows are dropped below
        check_shapes(
            student_embed=(student_embed, 'N Ds'),
            teacher_embed=(teacher_embed, 'N Dt'),
        )
        group: tuple[Tensor, ...] = student_embed, teacher_embed
        keep = self.keep(foreground)
        if rois is not None:
            keep = _first_of_its_kind(rois, keep)
        if keep is not None:
            kept = keep.nonzero()[:, 0]  # synchronises once
            group = tuple(rows[kept] for rows in group)
        if self.gather:
            group = gather_rows(*group)
        count = len(group[0])
        if self.max_samples is not None and count > self.max_samples:
            # no random numbers, so that the student's are as in plain training
            device = student_embed.device
            spaced = torch.arange(self.max_samples, device=device) * count
            spaced = spaced // self.max_samples
            group = tuple(rows[spaced] for rows in group)
        if self.normalize:
            group = tuple(_unit(rows) for rows in group)
        value = self.relate(*group)
        return self.weigh(global_gradient(value) if self.gather else value)


@MODELS.register_module()
class RKDDistanceLoss(RelationalLoss):
    r"""RKD-D: match pairwise distances, relative to their mean.

    .. math::
        L = \frac{1}{N^2} \sum_{i,j} h\!\left(
        \frac{d^s_{ij}}{\mu^s} - \frac{d^t_{ij}}{\mu^t} \right), \qquad
        \mu = \frac{1}{N (N - 1)} \sum_{i \ne j} d_{ij}

    with the Huber loss :math:`h`. The embeddings may have different widths.
    With fewer than three samples the loss is 0.

    Args:
        background: See :class:`RelationalLoss`.
        max_samples: See :class:`RelationalLoss`.
        gather: See :class:`RelationalLoss`.
        normalize: See :class:`RelationalLoss`.
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/1904.05068
    """

    def relate(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :meth:`RelationalLoss.relate`."""
        return rkd_distance_loss(student, teacher)


@MODELS.register_module()
class RKDAngleLoss(RelationalLoss):
    r"""RKD-A: match the angles formed by all triplets of samples.

    .. math::
        L = \frac{1}{N^3} \sum_{i,j,k} h(a^s_{ijk} - a^t_{ijk}), \qquad
        a_{ijk} = \left\langle \frac{x_j - x_i}{\|x_j - x_i\|},
        \frac{x_k - x_i}{\|x_k - x_i\|} \right\rangle

    with the Huber loss :math:`h`. The embeddings may have different widths.
    With fewer than three samples the loss is 0.

    Args:
        background: See :class:`RelationalLoss`.
        max_samples: See :class:`RelationalLoss`.
        gather: See :class:`RelationalLoss`.
        normalize: See :class:`RelationalLoss`.
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/1904.05068
    """

    def relate(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :meth:`RelationalLoss.relate`."""
        return rkd_angle_loss(student, teacher)


@float32_math
def _unit(rows: Tensor) -> Tensor:
    """Return L2-normalised rows; zero rows stay zero."""
    return safe_normalize(rows)


def _first_of_its_kind(rois: Tensor, keep: Tensor | None) -> Tensor:
    """Return the mask of regions that do not duplicate an earlier one."""
    image, boxes = rois[:, 0], rois[:, 1:].float()
    low = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    same = shared > SAME * (area[:, None] + area - shared)
    same &= image[:, None] == image
    if keep is not None:
        same &= keep
    first = ~same.tril(-1).any(1)
    return first if keep is None else first & keep
