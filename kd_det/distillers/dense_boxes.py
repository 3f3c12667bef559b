"""Boxes of dense heads: mean logits in annotated ones, predicted ones."""

import torch
from mmcv.ops import roi_align
from torch import Tensor, nn

from kd_det.distillers.dense_head import rows_of
from kd_det.errors import UserError

# Minimum box size of a level in strides, as in FCOS.
LEAST = 8


def box_regions(
    scores: list[Tensor],
    strides: list[int],
    classes: int,
    samples: list,
    scales: tuple[int, ...],
) -> tuple[Tensor, Tensor]:
    """Return the logits of the cells of each annotated box.

    The last layer of a dense head is affine, so its mean over a cell equals
    its output for the mean input. The level of a box is selected by its size;
    a head with several anchors gives one row for each.

    Args:
        scores: Class logits (N, A K, H, W) of each level.
        strides: Strides of the levels, in pixels.
        classes: Number of classes K.
        samples: Data samples with ``gt_instances`` (boxes in pixels).
        scales: Grid sizes.

    Returns:
        Logits (B A, K, R), cells row-major, and the labels (B A,).
    """
    # not all devices support half precision here
    scores = [level.float() for level in scores]
    truth = [sample.gt_instances for sample in samples]
    boxes = [torch.as_tensor(t.bboxes) for t in truth]
    rois = torch.cat(
        [
            torch.nn.functional.pad(own[:, :4], (1, 0), value=image)
            for image, own in enumerate(boxes)
        ]
    ).to(scores[0])
    labels = torch.cat([t.labels for t in truth])
    sides = (rois[:, 3:] - rois[:, 1:3]).clamp(min=1e-3)
    size = sides.prod(1).sqrt()
    level = (size / (LEAST * strides[0])).log2().floor()
    level = level.clamp(0, len(strides) - 1).long()
    anchors = scores[0].shape[1] // classes
    count = sum(scale**2 for scale in scales)
    regions = scores[0].new_zeros(len(rois), anchors * classes, count)
    for number, (maps, stride) in enumerate(zip(scores, strides)):
        rows = (level == number).nonzero()[:, 0]
        cells = torch.cat(
            [
                roi_align(maps, rois[rows], scale, 1 / stride).flatten(2)
                for scale in scales
            ],
            dim=2,
        )
        regions = regions.index_copy(0, rows, cells)
    regions = regions.unflatten(1, (anchors, classes)).flatten(0, 1)
    return regions, labels.repeat_interleave(anchors)


def check_coder(head: nn.Module, side: str) -> None:
    """Raise if :func:`decoded` does not know what a head predicts.

    Args:
        head: Dense head.
        side: Name of the network in messages.

    Raises:
        UserError: It has no ``bbox_coder``, as YOLOX's.
    """
    if not hasattr(head, 'bbox_coder'):
        raise UserError(
            'A loss needs the boxes that the heads predict, and the '
            f"{side}'s {type(head).__name__} has no bbox_coder to decode "
            'them; use losses on logits.'
        )


def decoded(head: nn.Module, maps: list[Tensor], levels: list[int]) -> Tensor:
    """Return the boxes that a head predicts at some levels, in pixels.

    Args:
        head: Dense head with anchors or points.
        maps: Box predictions (N, 4 A, H, W) of all levels, or (N, 4 B, H, W)
            with distributions of B values per edge.
        levels: Indices of the levels to decode.

    Returns:
        Shape (M, 4), in the order of :func:`rows_of`.
    """
    sizes = [tuple(level.shape[-2:]) for level in maps]
    kind = dict(dtype=maps[0].dtype, device=maps[0].device)
    priors = head.prior_generator.grid_priors(sizes, **kind)
    # in training such a head predicts distances in strides
    in_strides = head.training and getattr(head, 'norm_on_bbox', False)
    boxes = []
    for level in levels:
        prior, (stride, *_) = (
            priors[level],
            head.prior_generator.strides[level],
        )
        if hasattr(head, 'integral'):  # distances in strides
            rows = rows_of(maps[level], 4 * (head.reg_max + 1))
            rows = head.integral(rows) * stride
            prior = head.anchor_center(prior)
        else:
            rows = rows_of(maps[level], 4) * (stride if in_strides else 1)
        prior = prior.repeat(len(maps[level]), 1)
        boxes.append(head.bbox_coder.decode(prior, rows))
    return torch.cat(boxes)
