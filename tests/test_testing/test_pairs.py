"""A pair of any two families is one call."""

import pytest
from tiny import build, losses_of, total

from kd_det.errors import UserError
from kd_det.testing import tiny_batch, tiny_detector, tiny_pair

FEATS = dict(
    type='FeatureDistiller',
    taps=dict(student=['neck'], teacher=['neck']),
    losses=dict(loss_pkd=dict(type='PKDLoss')),
)


def step(pair):
    model = build(pair)
    losses = losses_of(model, tiny_batch(model))
    total(model, losses).backward()
    return model, losses


def test_without_options(tmp_path):
    pair = tiny_pair(tmp_path)
    assert pair.student == tiny_detector('faster_rcnn', 18)
    assert pair.teacher.backbone.depth == 50
    _, losses = step(pair)
    assert losses['roi.loss_kd'] > 0


def test_distiller_and_classes(tmp_path):
    options = dict(losses=dict(kd=dict(type='DKDLoss')))
    pair = tiny_pair(tmp_path, options, 3)
    assert pair.distillers.roi.type == 'RoIDistiller'
    assert pair.student.num_classes == pair.teacher.num_classes == 3
    assert 'type' not in options


def test_of_two_families(tmp_path):
    pair = tiny_pair(
        tmp_path,
        student='gfl',
        teacher='retinanet',
        distillers=dict(feats=FEATS),
    )
    model, losses = step(pair)
    assert type(model.student).__name__ == 'GFL'
    assert type(model.teacher.model).__name__ == 'RetinaNet'
    assert losses['feats.loss_pkd'] > 0
    assert 'loss_dfl' in losses


def test_of_a_spec(tmp_path):
    spec = tiny_detector('fcos', 34, num_classes=2, base_channels=16)
    pair = tiny_pair(
        tmp_path, student=spec, teacher=spec, distillers=dict(feats=FEATS)
    )
    assert pair.student == spec and 'ckpt' not in spec
    assert pair.teacher.ckpt == str(tmp_path / 'teacher.pth')


def test_refuses_both_kinds_of_distillers(tmp_path):
    with pytest.raises(UserError, match='distillers=.* use only one'):
        tiny_pair(tmp_path, {}, distillers=dict(feats=FEATS))
    assert not [*tmp_path.iterdir()]
