"""The areas of boxes on a feature map, cell by cell, and in a detector."""

import math

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData
from test_distillers.test_matched_levels import build, knowledge_of

from kd_det.distillers.box_areas import box_areas
from kd_det.errors import UserError
from kd_det.testing import tiny_batch

FGD = dict(
    loss_focal=dict(type='FGDFocalLoss'),
    loss_attention=dict(type='FGDAttentionLoss'),
    loss_global=dict(type='FGDGlobalLoss'),
)
STRIDE = 8


def sample(boxes):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return BaseDataElement(gt_instances=InstanceData(bboxes=boxes))


def by_hand(boxes, height, width, stride):
    """The smallest number of cells of a box that overlaps each cell."""
    areas = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            for x1, y1, x2, y2 in boxes:
                left = min(max(math.floor(x1 / stride), 0), width - 1)
                top = min(max(math.floor(y1 / stride), 0), height - 1)
                right = max(min(math.ceil(x2 / stride), width), left + 1)
                bottom = max(min(math.ceil(y2 / stride), height), top + 1)
                if left <= j < right and top <= i < bottom:
                    area = (right - left) * (bottom - top)
                    areas[i, j] = min(areas[i, j] or area, area)
    return areas


def test_against_loops():
    generator = np.random.default_rng(0)
    corner = generator.uniform(-10, 90, (12, 2))
    boxes = np.concatenate(
        [corner, corner + generator.uniform(0, 60, (12, 2))], 1
    )
    level = torch.zeros(2, 3, 9, 13)
    found = box_areas([sample(boxes.tolist()), sample([])], level, STRIDE)
    rounded = boxes.astype(np.float32).tolist()
    expected = by_hand(rounded, 9, 13, STRIDE)
    np.testing.assert_array_equal(found[0], expected)
    assert expected.any() and not found[1].any()


@pytest.mark.parametrize(
    'box, cells',
    [
        ([8, 8, 24, 16], [(1, 1), (1, 2)]),  # on the grid
        ([9, 9, 10, 10], [(1, 1)]),  # within a cell
        ([16, 16, 16, 16], [(2, 2)]),  # empty
        ([-5, -5, -1, -1], [(0, 0)]),  # outside
        ([70, 0, 90, 8], [(0, 3)]),
    ],
)
def test_one_box(box, cells):
    level = torch.zeros(1, 1, 3, 4)
    (areas,) = box_areas([sample([box])], level, STRIDE)
    assert [tuple(p) for p in areas.nonzero().tolist()] == cells
    assert {*areas[areas > 0].tolist()} == {float(len(cells))}


def test_a_small_box_in_a_large_one():
    level = torch.zeros(1, 1, 4, 4)
    for order in (1, -1):
        boxes = [[0, 0, 32, 32], [8, 8, 16, 16]][::order]
        (areas,) = box_areas([sample(boxes)], level, STRIDE)
        assert areas[1, 1] == 1 and areas.sum() == 1 + 15 * 16


def test_samples_without_boxes():
    with pytest.raises(UserError, match='no gt_instances; use a detector'):
        box_areas([BaseDataElement()], torch.zeros(1, 1, 3, 4), STRIDE)


def test_fgd_in_a_detector(tmp_path):
    """All levels have the areas of their strides, and the blocks train."""
    model = build(tmp_path, 'faster_rcnn', 'retinanet', losses=FGD)
    data = model.data_preprocessor(tiny_batch(model, size=(128, 128)), True)
    losses, seen = knowledge_of(model, data)
    for level, areas in zip(seen['teacher_feats'], seen['feat_areas']):
        stride = 128 // level.shape[-1]
        assert areas.shape == (len(level), *level.shape[2:])
        for own, sample in zip(areas, data['data_samples']):
            boxes = sample.gt_instances.bboxes.tolist()
            expected = by_hand(boxes, *level.shape[2:], stride)
            np.testing.assert_array_equal(own, expected)
    total = sum(losses[f'feats.{name}'] for name in FGD)
    total.backward()
    blocks = model.distill['feats'].losses['loss_global']
    assert len(blocks.student_blocks) == len(seen['student_feats'])
    for block in (*blocks.student_blocks, *blocks.teacher_blocks):
        assert block.transform[-1].weight.grad.abs().max() > 0
    assert any('losses.loss_global' in key for key in model.state_dict())


def test_areas_are_left_out_where_nobody_asks(tmp_path):
    model = build(tmp_path, 'faster_rcnn', 'retinanet')
    data = model.data_preprocessor(tiny_batch(model, size=(128, 128)), True)
    assert 'feat_areas' not in knowledge_of(model, data)[1]
