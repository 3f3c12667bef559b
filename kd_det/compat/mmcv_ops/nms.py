"""Non-maximum suppression."""

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor


def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int
) -> Tensor:
    """Return the indices of the boxes kept, by decreasing score.

    A box goes when its IoU with a kept one of a higher score is greater than
    the threshold.

    Args:
        boxes: (N, 4), x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: Compared in float32, as MMCV does.
        offset: Added to widths and heights: 1 where x2 and y2 are the last
            pixels of a box, else 0.
    """
    boxes = boxes.float()
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
    return torch.ops.torchvision.nms(boxes, scores.float(), threshold)
