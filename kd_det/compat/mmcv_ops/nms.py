"""Non-maximum suppression (NMS)."""

import numpy as np
import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

NAIVE, LINEAR, GAUSSIAN = range(3)  # MMCV's codes of the soft NMS methods


def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int
) -> Tensor:
    """Return the indices of the kept boxes, by decreasing score.

    A box is dropped if its IoU with a kept box of higher score exceeds the
    threshold.

    Args:
        boxes: (N, 4), x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: Compared in float32, as in MMCV.
        offset: Added to widths and heights: 1 if x2 and y2 are the last pixels
            of a box, otherwise 0.

    Returns:
        (K,) int64.
    """
    boxes = boxes.float()
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torch.ops.torchvision.nms(
        boxes, scores.float(), float(np.float32(iou_threshold))
    )


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Reduce the scores of overlapping boxes; drop those with low scores.

    The box with the highest score is taken repeatedly, and the scores of the
    remaining boxes are multiplied by a weight that depends on the IoU: 0
    (naive) or 1 - IoU (linear) from the threshold on and 1 below it, or
    exp(-IoU²/sigma) (gaussian). Ties are resolved as in MMCV.

    Args:
        boxes: (N, 4), x1, y1, x2, y2, on the CPU.
        scores: (N,).
        dets: (N, 5), output; the first K rows are the boxes taken, in order,
            with their scores.
        iou_threshold: Unused by the gaussian method.
        sigma: Only used by the gaussian method.
        min_score: Boxes with lower scores are dropped.
        method: 0 naive, 1 linear, 2 gaussian.
        offset: See :func:`nms`.

    Returns:
        (K,) int64, the indices of the boxes taken.
    """
    rows = torch.cat((boxes, scores[:, None]), 1).float().numpy().copy()
    taken = np.arange(len(rows))
    first = 0
    while first < len(rows):
        best = first + rows[first:, 4].argmax()
        rows[[first, best]] = rows[[best, first]]
        taken[[first, best]] = taken[[best, first]]
        first += 1
        rest = rows[first:]
        iou = _iou(rows[first - 1], rest, offset)
        if method == GAUSSIAN:
            rest[:, 4] *= np.exp(-(iou * iou) / np.float32(sigma))
        else:
            over = iou >= np.float32(iou_threshold)
            rest[over, 4] *= 0 if method == NAIVE else 1 - iou[over]
        order = _close_gaps(~(rest[:, 4] < np.float32(min_score)))
        rows = np.concatenate((rows[:first], rest[order]))
        taken = np.concatenate((taken[:first], taken[first:][order]))
    dets[: len(rows)] = torch.from_numpy(rows).to(dets.dtype)
    return torch.from_numpy(taken)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Return each kept box with the boxes that it suppresses.

    Unlike in :func:`nms`, an IoU equal to the threshold suppresses.

    Args:
        dets: (N, 5), x1, y1, x2, y2, score, on the CPU.
        iou_threshold: Compared in float32.

    Returns:
        Lists of indices, the kept box first, by decreasing score.
    """
    rows = dets.float().numpy()
    left = dets[:, 4].sort(descending=True, stable=True).indices.numpy()
    groups = []
    while len(left):
        iou = _iou(rows[left[0]], rows[left[1:]], 0)
        over = iou >= np.float32(iou_threshold)
        groups.append([left[0].item(), *left[1:][over].tolist()])
        left = left[1:][~over]
    return groups


def _iou(box: np.ndarray, boxes: np.ndarray, offset: int) -> np.ndarray:
    """Return the IoU of one box with others; 0 if both have no area."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:4], boxes[:, 2:4])
    shared = np.maximum(high - low + offset, 0).prod(1)
    areas = (boxes[:, 2:4] - boxes[:, :2] + offset).prod(1)
    union = (box[2:4] - box[:2] + offset).prod() + areas - shared
    zero = np.zeros_like(shared)
    return np.divide(shared, union, out=zero, where=union != 0)


def _close_gaps(kept: np.ndarray) -> np.ndarray:
    """Return the order of the kept boxes, moving the last into gaps.

    This is MMCV's order, which determines the order of equal scores.
    """
    number = kept.sum()
    order = np.arange(number)
    order[~kept[:number]] = number + np.flatnonzero(kept[number:])[::-1]
    return order
