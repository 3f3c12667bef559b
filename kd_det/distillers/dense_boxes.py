"""Mean logits over the cells of annotated boxes, for SDD on dense heads."""

import torch
from mmcv.ops import roi_align
from torch import Tensor

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
