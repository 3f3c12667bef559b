"""RoIDistiller: cells of RoIs for SDD, cascades, masks, two-input heads."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from tiny import tiny_spec
from torch.nn.functional import adaptive_avg_pool2d

from kd_det.centroids import CentroidBank
from kd_det.distillers.roi_cells import _extract
from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.testing import tiny_batch, tiny_pair

K = 6
SDD = dict(loss_sdd=dict(type='SDDLoss', base=dict(type='KDLoss')))
KD = dict(loss_kd=dict(type='KDLoss'))


def build(folder, losses=SDD, student='faster_rcnn', teacher=None, **kwargs):
    init_default_scope('mmdet')
    roi = dict(type='RoIDistiller', losses=losses, **kwargs)
    cfg = tiny_pair(
        folder,
        student=student,
        teacher=teacher or student,
        distillers=dict(roi=roi),
    )
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    with torch.no_grad():
        for weight in [*model.teacher.parameters(), *model.parameters()]:
            weight.add_(torch.randn_like(weight), alpha=0.05)
    return model.train()


def c4():
    """A head that ends in global average pooling, in miniature."""
    return dict(
        cfg='mmdet::faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py',
        num_classes=K,
        backbone=dict(
            depth=18, base_channels=16, init_cfg=None, frozen_stages=-1
        ),
        rpn_head=dict(
            in_channels=64,
            feat_channels=16,
            anchor_generator=dict(scales=[2, 4]),
        ),
        roi_head=dict(
            # of 128 channels, which the stage decides
            shared_head=dict(
                depth=18, stage=1, pretrained=None, init_cfg=None
            ),
            bbox_roi_extractor=dict(out_channels=64),
            bbox_head=dict(in_channels=128),
        ),
        train_cfg=dict(
            rpn_proposal=dict(nms_pre=50, max_per_img=20),
            rcnn=dict(sampler=dict(num=16)),
        ),
    )


def stepped(model, **kwargs):
    """Losses of one step, what the losses saw, the student's RoI inputs."""
    batch = tiny_batch(model, size=(96, 128), **kwargs)
    data = model.data_preprocessor(batch, True)
    seen, entered = {}, []
    extractor = model.student.roi_head.bbox_roi_extractor
    handles = [
        model.distill['roi'].register_forward_pre_hook(
            lambda _, args: seen.update(args[0])
        )
    ]
    if not isinstance(extractor, torch.nn.ModuleList):
        handles.append(
            extractor.register_forward_pre_hook(
                lambda _, args: entered.append(args)
            )
        )
    torch.manual_seed(0)
    losses = model(**data, mode='loss')
    for handle in handles:
        handle.remove()
    return losses, seen, entered


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return build(tmp_path_factory.mktemp('align'), {**SDD, **KD})


@pytest.mark.parametrize('cells', ['align', 'pool'])
def test_the_whole_alone_is_plain_kd(tmp_path, cells):
    model = build(tmp_path, {**SDD, **KD}, scales=(1,), cells=cells)
    losses, seen, _ = stepped(model)
    torch.testing.assert_close(losses['roi.loss_sdd'], losses['roi.loss_kd'])
    assert seen['student_region_logits'].shape[2] == 1


def test_aligned_cells_by_hand(model):
    """Twice the bins, cut into quarters, one after the other."""
    _, seen, entered = stepped(model)
    feats, rois = entered[0][:2]
    regions = seen['student_region_logits']
    assert torch.equal(regions[..., 0], seen['student_logits'])
    rows = seen['foreground'].nonzero()[:, 0]
    assert len(rows)
    head = model.student.roi_head
    extractor = copy.deepcopy(head.bbox_roi_extractor)
    for layer in extractor.roi_layers:
        layer.output_size = (14, 14)
    with torch.no_grad():
        fine = extractor(feats, rois[rows])
        for number, (y, x) in enumerate([(0, 0), (0, 7), (7, 0), (7, 7)]):
            own = fine[:, :, y : y + 7, x : x + 7]
            expected, _ = head.bbox_head(own)
            torch.testing.assert_close(
                regions[rows][..., number + 1], expected
            )
    assert not regions[~seen['foreground']][..., 1:].any()
    mask = seen['region_mask']
    assert mask[:, 0].all()
    assert torch.equal(mask[:, 1], seen['foreground'])
    sizes = {layer.output_size for layer in head.bbox_roi_extractor.roi_layers}
    assert sizes == {(7, 7)}


def test_pooled_cells_by_hand(tmp_path):
    model = build(tmp_path, cells='pool')
    _, seen, entered = stepped(model)
    feats, rois = entered[0][:2]
    rows = seen['foreground'].nonzero()[:, 0]
    head = model.student.roi_head
    with torch.no_grad():
        maps = head.bbox_roi_extractor(feats, rois[rows])
        means = adaptive_avg_pool2d(maps, 2)
        for number, (y, x) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
            flat = means[:, :, y, x, None, None].expand_as(maps)
            expected, _ = head.bbox_head(flat)
            regions = seen['student_region_logits'][rows]
            torch.testing.assert_close(regions[..., number + 1], expected)


@pytest.mark.parametrize('cells', ['align', 'pool'])
def test_batch_norm_of_the_head_sees_a_step_once(tmp_path, cells):
    """Its running statistics are those of training without SDD."""
    student = tiny_spec(num_classes=K)
    student['roi_head']['bbox_head'].update(
        type='Shared4Conv1FCBBoxHead',
        conv_out_channels=16,
        norm_cfg=dict(type='BN'),
    )
    states = []
    for losses in (KD, SDD):
        model = build(tmp_path, losses, student, 'faster_rcnn', cells=cells)
        stepped(model)
        states.append(dict(model.student.roi_head.named_buffers()))
    counts = [v for k, v in states[0].items() if k.endswith('tracked')]
    assert len(counts) == 4 and all(count == 1 for count in counts)
    for key, value in states[0].items():
        assert torch.equal(states[1][key], value), key
    norms = [
        module.track_running_stats
        for module in model.student.roi_head.modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    ]
    assert norms == [True] * 4


def test_a_head_with_global_average_pooling(tmp_path):
    model = build(tmp_path, {**SDD, **KD}, c4(), c4(), cells='gap')
    losses, seen, entered = stepped(model)
    feats, rois = entered[0][:2]
    head = model.student.roi_head.eval()
    with torch.no_grad():
        maps = head.shared_head(head.bbox_roi_extractor(feats, rois))
        means = adaptive_avg_pool2d(maps, 2).flatten(2)
        expected = head.bbox_head.fc_cls(means.transpose(1, 2))
    rows = seen['foreground']
    torch.testing.assert_close(
        seen['student_region_logits'][rows][..., 1:],
        expected.transpose(1, 2)[rows],
    )
    assert losses['roi.loss_sdd'] > 0
    with pytest.raises(UserError, match="ends in global.*cells='gap'"):
        build(tmp_path, SDD, c4(), c4(), cells='align')


def test_refusals(tmp_path):
    for kwargs, message in (
        (dict(cells='gap'), "does not end in global.*'align' or 'pool'"),
        (dict(cells='quarters'), "cells='quarters'; accepted are 'align'"),
        (dict(scales=(2, 1)), 'start with 1'),
    ):
        with pytest.raises(UserError, match=message):
            build(tmp_path, **kwargs)


def test_sizes_come_back_after_an_error(model):
    extractor = model.student.roi_head.bbox_roi_extractor
    with pytest.raises(TypeError):
        _extract(extractor, (None,) * 4, torch.zeros(1, 5), 2)
    assert {y.output_size for y in extractor.roi_layers} == {(7, 7)}


def test_no_object_and_no_box(model):
    for images in ((0,), (0, 1)):
        losses, seen, _ = stepped(model, without_objects=images)
        value = losses['roi.loss_sdd']
        assert torch.isfinite(value)
        value.backward()
    assert not seen['foreground'].any()
    torch.testing.assert_close(value, losses['roi.loss_kd'])


def test_a_cascade_counts_all_stages(tmp_path):
    model = build(tmp_path, {**SDD, **KD}, 'cascade_rcnn')
    losses, seen, _ = stepped(model)
    alone = build(tmp_path, KD, 'cascade_rcnn', stage=1)
    _, one, _ = stepped(alone)
    count = len(one['labels'])
    assert len(seen['labels']) > count
    first = len(seen['labels']) - sum(
        len(stepped(build(tmp_path, KD, 'cascade_rcnn', stage=s))[1]['labels'])
        for s in (1, 2)
    )
    part = slice(first, first + count)
    for key in ('labels', 'rois', 'student_logits', 'teacher_logits'):
        torch.testing.assert_close(seen[key][part], one[key])
    assert losses['roi.loss_sdd'] > 0


@pytest.mark.parametrize(
    'student, teacher',
    [('cascade_rcnn', 'faster_rcnn'), ('faster_rcnn', 'cascade_rcnn')],
)
def test_a_cascade_and_a_single_stage(tmp_path, student, teacher):
    model = build(tmp_path, KD, student, teacher)
    losses, seen, _ = stepped(model)
    assert losses['roi.loss_kd'] > 0
    stages = 3 if student == 'cascade_rcnn' else 1
    assert len(model.distill['roi'].stages) == stages
    network, rois = model.teacher.model, seen['rois']
    with torch.no_grad():
        head = network.roi_head
        batch = tiny_batch(model, size=(96, 128))
        inputs = model.data_preprocessor(batch, True)['inputs']
        feats = network.extract_feat(inputs)
        if stages == 1:
            out = head._bbox_forward(0, feats, rois)
        else:
            out = head._bbox_forward(feats, rois)
    torch.testing.assert_close(seen['teacher_logits'], out['cls_score'])


def test_class_means_want_one_stage(tmp_path):
    nd = dict(loss_nd=dict(type='NDLoss'))
    file = tmp_path / 'bank.npz'
    with pytest.raises(UserError, match='one RoIDistiller per stage'):
        build(tmp_path, nd, 'cascade_rcnn', centroids=str(file))
    means = np.random.default_rng(0).random((K + 1, 32), np.float32)
    CentroidBank(means, np.ones(K + 1, np.int64), ()).save(file)
    model = build(tmp_path, nd, 'cascade_rcnn', centroids=str(file), stage=2)
    assert stepped(model)[0]['roi.loss_nd'] > 0
    with pytest.raises(UserError, match='stage=3; the student has 3, so 0'):
        build(tmp_path, KD, 'cascade_rcnn', stage=3)


@pytest.mark.parametrize('family', ['mask_rcnn', 'double_head'])
def test_other_two_stage_heads(tmp_path, family):
    model = build(tmp_path, KD, family)
    losses, seen, _ = stepped(model)
    assert losses['roi.loss_kd'] > 0
    plain = model.student
    torch.manual_seed(0)
    batch = tiny_batch(model, size=(96, 128))
    data = model.data_preprocessor(batch, True)
    alone = plain(data['inputs'], data['data_samples'], mode='loss')
    for key, value in alone.items():
        pairs = zip(_listed(losses[key]), _listed(value), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs), key


def _listed(value):
    return value if isinstance(value, list) else [value]


def test_a_student_without_a_box_head_is_told_what_fits(tmp_path):
    for student, teacher, fits in (
        ('gfl', 'gfl', 'use DenseDistiller'),
        ('gfl', 'faster_rcnn', 'FeatureDistiller'),
        ('detr', 'faster_rcnn', 'FeatureDistiller'),
    ):
        with pytest.raises(UserError, match=f'student .* none.*{fits}'):
            build(tmp_path, KD, student, teacher)
