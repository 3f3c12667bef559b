"""Every family builds from MMDetection's config, trains and predicts."""

import pytest
import torch
from mmengine.hub import get_config

from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.models.teacher import FrozenTeacher
from kd_det.testing import (
    FAMILIES,
    save_teacher,
    tiny_batch,
    tiny_detector,
    tiny_faster_rcnn,
)

TYPES = {
    'faster_rcnn': 'FasterRCNN',
    'cascade_rcnn': 'CascadeRCNN',
    'mask_rcnn': 'MaskRCNN',
    'double_head': 'FasterRCNN',
    'retinanet': 'RetinaNet',
    'fcos': 'FCOS',
    'atss': 'ATSS',
    'gfl': 'GFL',
    'rtmdet': 'RTMDet',
    'detr': 'DETR',
    'deformable_detr': 'DeformableDETR',
    'dino': 'DINO',
}


def loss_of(model, **options):
    batch = tiny_batch(model, **options)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    return model.parse_losses(losses)


def test_families_are_all_there():
    assert {*FAMILIES} == {*TYPES}


@pytest.mark.parametrize('family', FAMILIES)
def test_is_a_small_one_of_the_family(family, detector):
    model = detector(family)
    assert type(model).__name__ == TYPES[family]
    assert sum(value.numel() for value in model.parameters()) < 600_000
    full = get_config(tiny_detector(family)['cfg']).model
    for name, module in model.named_children():
        if isinstance(full.get(name), dict):  # heads and neck of the same kind
            assert type(module).__name__ == full[name].get(
                'type', type(module).__name__
            )


@pytest.mark.parametrize('family', FAMILIES)
def test_a_step_reaches_every_parameter(family, detector):
    model = detector(family)
    total, logs = loss_of(model)
    for key, value in logs.items():
        assert torch.isfinite(value).all(), key
    total.backward()
    for key, value in model.named_parameters():
        if value.requires_grad:
            assert value.grad is not None, key
            assert torch.isfinite(value.grad).all(), key
    moved = {
        key.partition('.')[0]
        for key, value in model.named_parameters()
        if value.grad is not None and value.grad.any()
    }
    assert {'backbone', 'neck'} <= moved
    assert {'roi_head', 'bbox_head'} & moved
    # every loss of boxes sees an object
    boxes = [value for key, value in logs.items() if key.endswith('loss_bbox')]
    assert boxes and max(boxes) > 0


@pytest.mark.parametrize('empty', [(0,), (0, 1)])
@pytest.mark.parametrize('family', FAMILIES)
def test_images_without_objects(family, empty, detector):
    total, _ = loss_of(detector(family), without_objects=empty)
    total.backward()
    assert torch.isfinite(total)


@pytest.mark.parametrize('family', FAMILIES)
def test_predicts(family, detector):
    model = detector(family).eval()
    data = model.data_preprocessor(tiny_batch(model), False)
    with torch.no_grad():
        results = model(**data, mode='predict')
    assert len(results) == 2
    for result in results:
        found = result.pred_instances
        assert found.bboxes.shape == (len(found), 4)
        assert torch.isfinite(found.scores).all()
        if len(found):
            assert found.labels.max() < 6
        assert ('masks' in found) == (family == 'mask_rcnn')


@pytest.mark.parametrize('family', FAMILIES)
def test_the_larger_is_a_teacher(family, tmp_path, detector):
    names = tuple('abcd')
    spec = tiny_detector(family, 50, num_classes=4)
    spec = save_teacher(spec, tmp_path / 'teacher.pth', names)
    teacher = FrozenTeacher(spec)
    assert teacher.classes == names
    student = sum(v.numel() for v in detector(family).parameters())
    assert sum(v.numel() for v in teacher.parameters()) > 1.5 * student
    with torch.no_grad():
        feats = teacher.extract_feat(torch.zeros(1, 3, 64, 64))
    assert {feat.shape[1] for feat in feats} == {16}


def test_classes_reach_every_head():
    spec = tiny_detector('cascade_rcnn', num_classes=3)
    model, _ = read_spec(spec, 'student')
    assert [h.num_classes for h in model.roi_head.bbox_head] == [3, 3, 3]


def dicts_in(value):
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from dicts_in(child)


@pytest.mark.parametrize('family', FAMILIES)
def test_specs_share_nothing(family):
    specs = tiny_detector(family), tiny_detector(family)
    assert specs[0] == specs[1]
    inside = [id(part) for spec in specs for part in dicts_in(spec)]
    assert len(set(inside)) == len(inside)


def test_faster_rcnn_samples_as_many_as_asked():
    spec = tiny_faster_rcnn(num_rois=5)
    assert spec['train_cfg']['rcnn']['sampler']['num'] == 5
    assert tiny_faster_rcnn() == tiny_detector('faster_rcnn')


def test_unknown_family():
    with pytest.raises(UserError, match="'retina'.*gfl.*mean 'retinanet'"):
        tiny_detector('retina')
