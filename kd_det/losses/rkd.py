"""RKD: the distances and angles between samples, not the samples."""

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

# two regions of an image that overlap more, as IoU, are one
SAME = 0.95


class RelationalLoss(EmbeddingLoss):
    """Base of the losses on relations: which rows are in the group.

    All rows of a batch are one group, whatever image they come from. Of
    regions of a detector, those that overlap an earlier one of their image
    by more than 0.95 are left out: annotated boxes stand among the
    proposals, and a pair of duplicates has no relation to teach.

    Args:
        background: ``'all'`` or ``'foreground'``: which rows are related.
        max_samples: Of a larger group as many rows are taken, evenly spaced
            and not at random; all without it. Time grows with the cube.
        gather: Whether the rows of all ranks are one group, as in one
            process with their global batch; else each rank relates its own.
        normalize: Whether the rows of both sides are scaled to length 1
            first.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: An argument is none of these.
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
        """Return the unweighted loss of a group as a scalar."""
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
            foreground: Mask (N,) of the rows of objects.
            rois: Regions (N, 5): image index, x1, y1, x2, y2.
        """
        # here: what is taken out below could hide it
        check_shapes(
            student_embed=(student_embed, 'N Ds'),
            teacher_embed=(teacher_embed, 'N Dt'),
        )
        group: tuple[Tensor, ...] = student_embed, teacher_embed
        keep = self.keep(foreground)
        if rois is not None:
            keep = _first_of_its_kind(rois, keep)
        if keep is not None:
            kept = keep.nonzero()[:, 0]  # an accelerator is waited for, once
            group = tuple(rows[kept] for rows in group)
        if self.gather:
            group = gather_rows(*group)
        count = len(group[0])
        if self.max_samples is not None and count > self.max_samples:
            # no draw: the student's own must be those of plain training
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
    r"""RKD-D: match the distances between samples, relative to their mean.

    .. math::
        L = \frac{1}{N^2} \sum_{i,j} h\!\left(
        \frac{d^s_{ij}}{\mu^s} - \frac{d^t_{ij}}{\mu^t} \right), \qquad
        \mu = \frac{1}{N (N - 1)} \sum_{i \ne j} d_{ij}

    with Huber's :math:`h`. The embeddings may be of different widths. Fewer
    than three samples have no relation: the loss is 0.

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
    r"""RKD-A: match the angles that every three samples span.

    .. math::
        L = \frac{1}{N^3} \sum_{i,j,k} h(a^s_{ijk} - a^t_{ijk}), \qquad
        a_{ijk} = \left\langle \frac{x_j - x_i}{\|x_j - x_i\|},
        \frac{x_k - x_i}{\|x_k - x_i\|} \right\rangle

    with Huber's :math:`h`. The embeddings may be of different widths. Fewer
    than three samples span no angle: the loss is 0.

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
    """Return rows of length 1; a row of zeros stays one."""
    return safe_normalize(rows)


def _first_of_its_kind(rois: Tensor, keep: Tensor | None) -> Tensor:
    """Return the mask of regions that repeat no earlier one that counts."""
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
