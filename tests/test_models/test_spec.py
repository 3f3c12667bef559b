"""A few lines of a config become the full config of one network."""

import pytest
from mmdet.models import ResNet
from mmengine.config import Config
from mmengine.hub import get_config

from kd_det.errors import UserError
from kd_det.models.spec import read_spec

BASE = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'


def test_overrides_are_merged():
    spec = dict(
        cfg=BASE,
        backbone=dict(depth=18, init_cfg=dict(checkpoint='x.pth')),
        neck=dict(in_channels=[64, 128, 256, 512]),
    )
    model, whole = read_spec(spec, 'student')
    alone = get_config(BASE).model
    assert model.backbone.depth == 18
    assert model.backbone.num_stages == alone.backbone.num_stages
    assert model.backbone.init_cfg == dict(
        type='Pretrained', checkpoint='x.pth'
    )
    assert model.neck.out_channels == 256
    assert model.rpn_head == alone.rpn_head
    assert model._scope_ == 'mmdet'
    assert whole.model == model and 'test_dataloader' in whole


def test_delete_replaces_instead():
    backbone = dict(_delete_=True, type='MobileNetV2')
    model, _ = read_spec(dict(cfg=BASE, backbone=backbone), 'student')
    assert model.backbone == dict(type='MobileNetV2')


def test_delete_in_a_child_whose_parent_overrides_too(tmp_path):
    (tmp_path / 'parent.py').write_text(
        f'student = dict(cfg={BASE!r}, backbone=dict(depth=18, init_cfg=None))'
    )
    (tmp_path / 'child.py').write_text(
        "_base_ = './parent.py'\n"
        'student = dict(backbone=dict('
        "_delete_=True, type='MobileNetV2', out_indices=(2, 4)))"
    )
    spec = Config.fromfile(tmp_path / 'child.py').student
    model, _ = read_spec(spec, 'student')
    assert model.backbone == dict(type='MobileNetV2', out_indices=(2, 4))
    assert model.neck == get_config(BASE).model.neck


@pytest.mark.parametrize(
    ('kind', 'kept'),
    [
        ('ResNeXt', True),  # takes the arguments of a ResNet, by **kwargs
        ('mmdet.ResNet', True),
        (ResNet, True),
        ('MobileNetV2', False),
        ('PyramidVisionTransformerV2', False),  # **kwargs, of no ResNet
        ('mmpretrain.TIMMBackbone', False),  # **kwargs, of no base
    ],
)
def test_another_type_keeps_all_arguments_or_none(kind, kept):
    spec = dict(cfg=BASE, backbone=dict(type=kind, out_indices=(0, 1)))
    model, _ = read_spec(spec, 'student')
    ours = dict(type=kind, out_indices=(0, 1))
    old = get_config(BASE).model.backbone
    assert model.backbone == (dict(old, **ours) if kept else ours)


def test_another_type_deep_in_the_model():
    old = get_config(BASE).model.roi_head.bbox_head
    extra = dict(loss_cls=dict(type='SeesawLoss', p=0.9, num_classes=80))
    spec = dict(cfg=BASE, roi_head=dict(bbox_head=extra))
    model, _ = read_spec(spec, 'student')
    seesaw = dict(old.loss_cls, **extra['loss_cls'])
    assert model.roi_head.bbox_head == dict(old, loss_cls=seesaw)
    extra = dict(loss_cls=dict(type='MSELoss', reduction='sum'))
    spec = dict(cfg=BASE, roi_head=dict(bbox_head=extra))
    model, _ = read_spec(spec, 'student')
    assert model.roi_head.bbox_head == dict(old, **extra)


def test_an_unknown_type_is_told_when_it_is_built():
    spec = dict(cfg=BASE, backbone=dict(type='NoSuchNet'))
    model, _ = read_spec(spec, 'student')
    old = get_config(BASE).model.backbone
    assert model.backbone == dict(old, type='NoSuchNet')


def test_num_classes_reach_every_head():
    model, _ = read_spec(dict(cfg=BASE, num_classes=3), 'student')
    assert model.roi_head.bbox_head.num_classes == 3
    assert 'num_classes' not in model


def test_a_model_in_full():
    spec = dict(type='FasterRCNN', backbone=dict(type='ResNet'), num_classes=2)
    model, whole = read_spec(spec, 'teacher')
    assert model.type == 'FasterRCNN' and model._scope_ == 'mmdet'
    assert 'test_dataloader' not in whole


def test_a_file(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(
        "default_scope = 'mmpretrain'\n"
        "model = dict(type='X', a=1)\n"
        'data_preprocessor = dict(mean=[1])\n'
    )
    model, _ = read_spec(dict(cfg=str(path), a=2), 'teacher')
    expected = dict(a=2, type='X', _scope_='mmpretrain')
    assert model == dict(expected, data_preprocessor=dict(mean=[1]))


def test_a_file_that_was_read_before(tmp_path):
    """Neither what is done to the model nor an older text comes back."""
    path = tmp_path / 'dumped.py'
    for depth in (18, 34):
        path.write_text(
            f"model = dict(type='X', backbone=dict(depth={depth}))"
        )
        for _ in range(2):
            model, _ = read_spec(dict(cfg=str(path)), 'student')
            assert model.backbone.depth == depth
            model.backbone.depth = 50


def test_the_spec_itself_stays():
    spec = dict(cfg=BASE, num_classes=3, backbone=dict(depth=18))
    read_spec(spec, 'student')
    assert spec == dict(cfg=BASE, num_classes=3, backbone=dict(depth=18))


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ('x', "The teacher is 'x'; dict"),
        (None, 'The teacher is None'),
        ([('cfg', BASE)], 'The teacher is '),
        (dict(cfg=3), 'has cfg=3; a file name'),
        (dict(), r'has no model.*got keys \[\]'),
        (dict(backbone=1), r"has no model.*got keys \['backbone'\]"),
        (
            dict(cfg=BASE, backbone=dict(type=dict(x=1))),
            'The teacher overrides what .*faster_rcnn.* does not have',
        ),
        (dict(cfg='mmdet::nope'), "package 'mmdet' has no such config; write"),
        (
            dict(cfg='mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco'),
            "did you mean 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'",
        ),
        (dict(cfg='::faster_rcnn/x.py'), "package '', which is not installed"),
        (dict(cfg='mmdet::retinanet/x.py'), "'mmdet' has no such config"),
        (
            dict(cfg='nopackage::x.py'),
            "'nopackage', which is not installed",
        ),
        (dict(cfg='nope.py'), "'nope.py' cannot be read: looked in '/"),
        (dict(cfg=''), "config '' cannot be read"),
    ],
)
def test_wrong_specs(spec, message):
    with pytest.raises(UserError, match=message):
        read_spec(spec, 'teacher')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('model = dict(', 'cannot be read.*never closed'),
        ('\nx = ture', 'cannot be read.*NameError in line 2: name'),
        ('raise SystemExit(3)', 'cannot be read.*SystemExit in line 1: 3'),
        ('_base_ = 5', '_base_ has 5'),
        ('x = 1', 'has no model'),
        ("model = 'x'", 'has no model'),
        ('model = dict(a=1)', 'has no model'),
    ],
)
def test_wrong_files(tmp_path, text, message):
    (tmp_path / 'config.py').write_text(text)
    spec = dict(cfg=str(tmp_path / 'config.py'), a=2)
    with pytest.raises(UserError, match=f'The student.*{message}'):
        read_spec(spec, 'student')
