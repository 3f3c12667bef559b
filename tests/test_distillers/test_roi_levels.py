"""RoIs on the levels that the student's extractor found: the same bits."""

import pytest
import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

from kd_det.distillers.roi_levels import (
    level_points,
    on_levels,
    rois_by_level,
)
from kd_det.taps import FeatureTap

STRIDES = [4, 8, 16, 32]


def extractor(**kwargs):
    layer = dict(type='RoIAlign', output_size=7, sampling_ratio=0)
    return SingleRoIExtractor(layer, 5, STRIDES, **kwargs)


def maps(channels=5):
    draw = torch.Generator().manual_seed(channels)
    return tuple(
        torch.randn(2, channels, 512 // s, 640 // s, generator=draw)
        for s in STRIDES
    )


def rois(sides):
    """One RoI of each side, in pixels: 112 and more lie on the 2nd level."""
    corner = torch.arange(len(sides))[:, None] * torch.tensor([[3.0, 2.0]])
    image = torch.arange(len(sides))[:, None] % 2
    side = torch.tensor(sides)[:, None].float()
    return torch.cat([image, corner, corner + side], dim=1)


def found(ours, boxes):
    """What the student's extractor was seen to do with RoIs."""
    points = level_points(ours, '')
    points = {k: p.removeprefix('.') for k, p in points.items()}
    with FeatureTap(ours, points) as records:
        ours(maps(), boxes)
    return rois_by_level(records, [*points])


@pytest.mark.parametrize('factor', [None, 1.3])
@pytest.mark.parametrize(
    ('sides', 'counts'),
    [
        ([300, 20, 120, 30, 500, 130, 25], [3, 2, 1, 1]),
        ([30, 400, 20], [2, 0, 1, 0]),  # levels without a RoI
        ([20], [1, 0, 0, 0]),
    ],
)
def test_same_bits_as_the_plain_extractor(sides, counts, factor, monkeypatch):
    boxes, theirs = rois(sides), extractor()
    parts = found(extractor(), boxes)
    assert [*map(len, parts)] == counts
    expected = theirs(maps(), boxes, factor)
    asked = []
    nonzero = torch.Tensor.nonzero
    monkeypatch.setattr(
        torch.Tensor,
        'nonzero',
        lambda self, **kwargs: asked.append(1) or nonzero(self, **kwargs),
    )
    with on_levels(theirs, parts):
        assert torch.equal(theirs(maps(), boxes, factor), expected)
    assert not asked
    theirs(maps(), boxes, factor)  # the plain one again
    assert len(asked) == len(STRIDES)


def test_other_rois_than_the_students():
    boxes, theirs = rois([20, 300, 40]), extractor()
    parts = found(extractor(), boxes[:2])
    with on_levels(theirs, parts):
        assert torch.equal(theirs(maps(), boxes), extractor()(maps(), boxes))


def test_no_roi_at_all():
    parts = found(extractor(), rois([20])[:0])
    assert parts == []
    with on_levels(theirs := extractor(), parts):
        assert theirs(maps(), rois([20])[:0]).shape == (0, 5, 7, 7)


def test_one_level_and_other_kinds_are_left_alone():
    layer = dict(type='RoIAlign', output_size=7, sampling_ratio=0)
    assert level_points(SingleRoIExtractor(layer, 5, [16]), 'x') == {}

    class Own(SingleRoIExtractor):
        pass

    own = Own(layer, 5, STRIDES)
    assert level_points(own, 'x') == {}
    before = own.forward
    with on_levels(own, found(extractor(), rois([20]))):
        assert own.forward == before


def test_the_students_type_decides_at_a_border():
    """In half precision a RoI may round to the next level."""
    boxes = rois([20, 223.97, 300, 400])
    ours = extractor().half()
    points = {
        k: p.removeprefix('.') for k, p in level_points(ours, '').items()
    }
    with FeatureTap(ours, points) as records:
        ours(tuple(m.half() for m in maps()), boxes)
    parts = rois_by_level(records, [*points])
    counts = [*map(len, parts)]
    theirs = extractor()
    levels = theirs.map_roi_levels(boxes, 4)
    assert [(levels == i).sum() for i in range(4)] != counts
    rounded = theirs.map_roi_levels(boxes.half(), 4)
    expected = torch.stack(
        [
            theirs.roi_layers[level](maps()[level], box[None])[0]
            for box, level in zip(boxes, rounded.tolist())
        ]
    )
    with on_levels(theirs, parts):
        assert torch.equal(theirs(maps(), boxes), expected)
