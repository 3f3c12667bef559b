"""What a distiller refuses when it is built, each in one sentence."""

import pytest
import torch
from mmengine.registry import init_default_scope

from kd_det.distillers import (
    DenseDistiller,
    FeatureDistiller,
    LogitDistiller,
    RoIDistiller,
    base,
)
from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.testing import tiny_batch, tiny_detector, tiny_pair

KD = dict(loss_kd=dict(type='KDLoss'))
SDD = dict(loss_sdd=dict(type='SDDLoss', base=dict(type='SigmoidKDLoss')))
SR = dict(loss_sr=dict(type='SoftmaxRegressionLoss'))
NORM = dict(loss_norm=dict(type='NormLoss'))
DENSE_KD = dict(loss_kd=dict(type='DenseKDLoss'))
PKD = dict(loss_pkd=dict(type='PKDLoss'))
HEADS = (RoIDistiller, DenseDistiller, LogitDistiller)
LINEAR, CONV = dict(type='LinearAdaptor'), dict(type='ConvAdaptor')


def refused(message, call, *args, **kwargs):
    with pytest.raises(UserError, match=message) as caught:
        call(*args, **kwargs)
    text = str(caught.value)
    assert text.endswith(('.', '?')) and '\n' not in text
    assert text.count('. ') == 0  # one sentence


def pair(folder, kind, losses, student='faster_rcnn', teacher=None, **kwargs):
    init_default_scope('mmdet')
    cfg = tiny_pair(
        folder,
        student=student,
        teacher=teacher or student,
        distillers=dict(x=dict(type=kind, losses=losses, **kwargs)),
    )
    return MODELS.build(cfg)


@pytest.mark.parametrize('kind', HEADS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    'scales',
    [(), 0, 4, (0,), (1, -1), '12', ('1',), (1, 2.0), None, (True, 2)]
    + [(2, 1), (2,), (1, 1), (1, 4, 2), {1: 2}],
    ids=repr,
)
def test_scales(kind, scales):
    message = f'{kind.__name__}: scales=.*start with 1'
    refused(
        message,
        kind,
        KD if kind is not DenseDistiller else DENSE_KD,
        scales=scales,
    )


def test_scales_are_kept():
    for kind in HEADS:
        assert kind(KD, scales=[1, 3]).scales == (1, 3)


@pytest.mark.parametrize(
    'kind, message, arguments',
    [
        (RoIDistiller, "cells='bogus'; accepted", dict(cells='bogus')),
        (RoIDistiller, 'stage=0.0; an integer', dict(stage=0.0)),
        (RoIDistiller, 'stage=True; an integer', dict(stage=True)),
        (RoIDistiller, "stage='0'; an integer", dict(stage='0')),
        (LogitDistiller, "via_4x4='no'; accepted", dict(via_4x4='no')),
        (RoIDistiller, 'losses={} and would do', dict(losses={})),
        (FeatureDistiller, 'losses={} and would do', dict(losses={})),
        (RoIDistiller, "named 1; .* with 'loss_'", dict(losses={1: KD})),
        (
            RoIDistiller,
            "named 'loss_a.b'; a word without dots",
            dict(losses={'loss_a.b': dict(type='KDLoss')}),
        ),
        (RoIDistiller, 'connectors has 1; ', dict(connectors={1: LINEAR})),
        (
            RoIDistiller,
            "'student_feats'; it is a field of .*FeatureDistiller",
            dict(losses=PKD),
        ),
    ],
)  # fmt: skip
def test_arguments(kind, message, arguments):
    refused(message, kind, **dict(dict(losses=KD), **arguments))


@pytest.mark.parametrize(
    'kind, losses, field',
    [
        (RoIDistiller, KD, 'student_embed'),
        (LogitDistiller, KD, 'student_embed'),
        (LogitDistiller, KD, 'student_map'),
        (DenseDistiller, DENSE_KD, 'student_embed'),
        (DenseDistiller, DENSE_KD, 'student_maps'),
    ],
)
def test_connectors_that_would_not_train(kind, losses, field):
    connectors = {field: LINEAR}
    message = f"'{field}', but no loss of this {kind.__name__} uses"
    refused(message, kind, losses, connectors=connectors)
    # the class means are compared with the embedding, the teacher's class
    # layer is applied to it
    kind(NORM, connectors=connectors)
    if (kind, field) != (DenseDistiller, 'student_embed'):
        kind(SR, connectors=connectors)


@pytest.mark.parametrize(
    'cfg, message',
    [
        (CONV, "takes maps .* vectors .*; use type='LinearAdaptor'"),
        (dict(LINEAR, in_channels=5), 'has in_channels=5, but the student'),
        (dict(LINEAR, out_channels=5), 'out_channels=5, but the teacher'),
        (dict(LINEAR, relu='no'), "relu='no'; accepted are True and False"),
    ],
)
def test_connectors_of_vectors(tmp_path, cfg, message):
    connectors = dict(student_embed=cfg)
    refused(message, pair, tmp_path, 'RoIDistiller', SR, connectors=connectors)


@pytest.mark.parametrize(
    'cfg, message',
    [
        (dict(CONV, in_channels=[16] * 4, out_channels=[16] * 4), 'in_chann'),
        (dict(CONV, in_channels=16, out_channels=16), 'in_channels=16, but'),
        (dict(CONV, in_channels=[9] * 5), r'has in_channels=\[9, .*student'),
        (dict(CONV, out_channels=[9] * 5), r'out_channels=\[9, .*teacher'),
    ],
)
def test_connectors_of_maps(tmp_path, cfg, message):
    refused(
        message,
        pair,
        tmp_path,
        'FeatureDistiller',
        PKD,
        connectors=dict(student_feats=cfg),
    )


def test_channels_that_are_right_are_accepted(tmp_path):
    cfg = dict(CONV, in_channels=(16,) * 5)
    connectors = dict(student_feats=cfg)
    model = pair(tmp_path, 'FeatureDistiller', PKD, connectors=connectors)
    assert len(model.distill['x'].connectors['student_feats'].blocks) == 5


@pytest.mark.parametrize(
    'kind, student, teacher, advice',
    [
        ('DenseDistiller', 'faster_rcnn', 'retinanet', 'FeatureDistiller'),
        ('DenseDistiller', 'retinanet', 'faster_rcnn', 'FeatureDistiller'),
        ('RoIDistiller', 'retinanet', 'faster_rcnn', 'FeatureDistiller'),
        ('RoIDistiller', 'retinanet', 'retinanet', 'DenseDistiller'),
        ('DenseDistiller', 'faster_rcnn', 'faster_rcnn', 'RoIDistiller'),
    ],
)
def test_the_distiller_named_fits_both(
    tmp_path, kind, student, teacher, advice
):
    others = {'FeatureDistiller', 'RoIDistiller', 'DenseDistiller'} - {
        advice,
        kind,
    }
    with pytest.raises(UserError) as caught:
        pair(tmp_path, kind, NORM, student, teacher)
    assert advice in str(caught.value)
    assert not any(other in str(caught.value) for other in others)


def test_one_stage_alone(tmp_path):
    message = 'stage=1; the student has 1, so 0 is accepted'
    refused(message, pair, tmp_path, 'RoIDistiller', KD, stage=1)


@pytest.mark.parametrize('count', [1, 60])
def test_sifn_of_a_dense_head(tmp_path, count):
    sifn = dict(loss_s=dict(type='SIFNLoss', num_classes=count))
    message = f'loss_s has num_classes={count}, but the logits have 6 columns'
    refused(message, pair, tmp_path, 'DenseDistiller', sifn, 'gfl')


def test_cells_finer_than_the_bins(tmp_path):
    kwargs = dict(cells='pool', scales=(1, 8))
    message = r'scales=\(1, 8\), but a RoI of the FasterRCNN has 7 bins'
    refused(message, pair, tmp_path, 'RoIDistiller', SDD, **kwargs)


def test_a_scale_finer_than_a_dense_map_is_said_once(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        base, 'print_log', lambda text, *_, **__: said.append(text)
    )
    model = pair(tmp_path, 'DenseDistiller', SDD, 'gfl', scales=(1, 64))
    batch = model.data_preprocessor(tiny_batch(model, size=(64, 64)), True)
    for _ in range(2):
        with torch.no_grad():
            model(**batch, mode='loss')
    assert len(said) == 1 and 'only 8 cells wide, so scale 64' in said[0]


@pytest.mark.parametrize('name', ['a.b', '', 1, 'train', 'keys'])
def test_names_of_distillers(tmp_path, name):
    spec = tiny_detector('faster_rcnn')
    cfg = dict(
        type='kd_det.DistillModel',
        student=spec,
        teacher=spec,  # a name is refused before a checkpoint is
        distillers={name: dict(type='RoIDistiller', losses=KD)},
    )
    refused(f'A distiller is named {name!r}; a word', MODELS.build, cfg)


def test_a_teacher_that_nobody_hears():
    spec = tiny_detector('faster_rcnn')
    roi = dict(type='RoIDistiller', losses=KD, teacher='a')
    cfg = dict(
        type='kd_det.DistillModel',
        student=spec,
        teacher=dict(a=dict(spec, ckpt='a.pth'), b=dict(spec, ckpt='b.pth')),
        distillers=dict(roi=roi),
    )
    refused("No distiller uses the teacher 'b'", MODELS.build, cfg)
