"""NMS, soft NMS and NMS match: IoUs that are known, ties, empty input."""

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms, nms, nms_match, soft_nms

# IoU 0.5 between the first two; the third is elsewhere
BOXES = [[0.0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60]]
SCORES = [0.9, 0.8, 0.5]


def tensors(device='cpu', boxes=BOXES, scores=SCORES):
    return torch.tensor(boxes, device=device), torch.tensor(
        scores, device=device
    )


@pytest.mark.parametrize(
    ('threshold', 'kept'), [(0.5, [0, 1, 2]), (0.49, [0, 2])]
)
def test_an_iou_equal_to_the_threshold_is_kept(device, threshold, kept):
    dets, index = nms(*tensors(device), threshold)
    assert index.tolist() == kept
    assert dets.shape == (len(kept), 5)
    assert dets[:, 4].tolist() == pytest.approx([SCORES[i] for i in kept])


def test_the_threshold_is_a_float32(device):
    """30 / 100 in float32 is more than 0.3 in float64."""
    boxes = [[0.0, 0, 10, 10], [0, 0, 10, 3]]
    _, index = nms(*tensors(device, boxes, [0.9, 0.8]), 0.3)
    assert index.tolist() == [0, 1]


def test_offset_counts_the_last_pixels(device):
    """Areas 81 and 36, IoU 0.444; with the last pixels 100 and 50, 0.5."""
    boxes, scores = tensors(device, [[0.0, 0, 9, 9], [0, 0, 9, 4]], [0.9, 0.8])
    assert nms(boxes, scores, 0.45, offset=0)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.45, offset=1)[1].tolist() == [0]


def test_of_equal_scores_the_first_box_stays():
    boxes, scores = tensors(scores=[0.8, 0.8, 0.8])
    assert nms(boxes, scores, 0.4)[1].tolist() == [0, 2]


def test_boxes_without_an_area_are_kept(device):
    boxes = [[5.0, 5, 5, 5], [5, 5, 5, 5]]  # an IoU of 0/0
    _, index = nms(*tensors(device, boxes, [0.9, 0.8]), 0.5)
    assert index.tolist() == [0, 1]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_nms_of_half_precision(device, dtype):
    boxes, scores = tensors(device)
    dets, index = nms(boxes.to(dtype), scores.to(dtype), 0.49)
    assert index.tolist() == [0, 2] and dets.dtype == dtype


def test_classes_do_not_suppress_each_other(device):
    boxes, scores = tensors(device)
    cfg = dict(type='nms', iou_threshold=0.4)
    for classes, kept in (([0, 1, 1], [0, 1, 2]), ([1, 1, 1], [0, 2])):
        classes = torch.tensor(classes, device=device)
        assert batched_nms(boxes, scores, classes, cfg)[1].tolist() == kept


@pytest.mark.parametrize(
    ('method', 'kept', 'score'),
    [
        ('naive', [0, 2], None),
        ('linear', [0, 2, 1], 0.8 * 0.5),
        ('gaussian', [0, 2, 1], 0.8 * np.exp(-(0.5**2) / 0.5)),  # 0.485
    ],
)
def test_soft_nms_lowers_scores(device, method, kept, score):
    dets, index = soft_nms(*tensors(device), 0.3, method=method)
    assert index.tolist() == kept
    assert dets[:2, 4].tolist() == pytest.approx([0.9, 0.5])
    if score is not None:
        assert dets[2].tolist() == pytest.approx([*BOXES[1], score])


def test_soft_nms_drops_below_the_least_score():
    dets, index = soft_nms(*tensors(), 0.3, min_score=0.45)
    assert index.tolist() == [0, 2] and len(dets) == 2
    # as naive as NMS, and yet nothing is dropped
    _, index = soft_nms(*tensors(), 0.3, min_score=0, method='naive')
    assert index.tolist() == [0, 2, 1]


def test_soft_nms_breaks_ties_as_mmcv_does():
    """The last box takes the place of the one that is dropped."""
    far = [[100.0 * i, 0, 100 * i + 10, 10] for i in range(4)]
    boxes = [far[0], far[0], far[1], far[2]]
    scores = [0.9, 0.8, 0.5, 0.5]
    _, index = soft_nms(*tensors(boxes=boxes, scores=scores), 0.3)
    assert index.tolist() == [0, 3, 2]


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_of_boxes_without_an_area(method):
    """An IoU of 0/0 is none; MMCV's gaussian makes NaN of it."""
    boxes = [[5.0, 5, 5, 5], [5, 5, 5, 5]]
    dets, index = soft_nms(
        *tensors(boxes=boxes, scores=[0.5, 0.9]), 0.3, method=method
    )
    assert index.tolist() == [1, 0]
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.5])


def test_soft_nms_leaves_its_input_as_it_was():
    boxes, scores = tensors()
    soft_nms(boxes, scores, 0.3)
    assert boxes.tolist() == BOXES
    assert scores.tolist() == pytest.approx(SCORES)


def test_match_groups_what_is_suppressed():
    """Unlike in NMS an IoU equal to the threshold suppresses."""
    dets = torch.tensor([[*b, s] for b, s in zip(BOXES, SCORES)])
    groups = nms_match(dets, 0.5)
    assert [group.tolist() for group in groups] == [[0, 1], [2]]
    groups = nms_match(dets.numpy(), 0.51)
    assert [group.tolist() for group in groups] == [[0], [1], [2]]
    dets[:, 4] = torch.tensor(
        [0.5, 0.9, 0.5]
    )  # 0 and 2: the first comes first
    groups = nms_match(dets, 0.6)
    assert [group.tolist() for group in groups] == [[1], [0], [2]]


def test_no_boxes(device):
    boxes, scores = (
        torch.zeros(0, 4, device=device),
        torch.zeros(0, device=device),
    )
    assert nms(boxes, scores, 0.5)[0].shape == (0, 5)
    assert soft_nms(boxes, scores, 0.5)[0].shape == (0, 5)
    assert nms_match(torch.zeros(0, 5), 0.5) == []
