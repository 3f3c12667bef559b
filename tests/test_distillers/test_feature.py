"""FeatureDistiller: maps of classifiers and detectors, level by level."""

import copy

import pytest
import torch
from mmengine.registry import init_default_scope
from test_distillers.test_logit import batch_of, losses_of
from tiny import build as build_detector
from tiny import losses_of as detector_losses
from tiny import pair_cfg

from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.testing import tiny_classifier_pair

REVIEW = dict(loss_review=dict(type='ReviewKDLoss'))
ABF = dict(student_feats=dict(type='ABFConnector', mid_channels=8))
STAGES = ['backbone.layer2', 'backbone.layer3', 'backbone.layer4', 'neck']
# the last ReLU of a stage runs on what the last block adds up
TAPS = dict(student=STAGES, teacher=STAGES)


def build(folder, **kwargs):
    init_default_scope('mmpretrain')
    kwargs = dict(dict(losses=REVIEW), **kwargs)
    cfg = tiny_classifier_pair(
        folder, dict(feature=dict(type='FeatureDistiller', **kwargs))
    )
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def knowledge_of(model, name):
    seen = {}
    model.distill[name].register_forward_pre_hook(
        lambda _, args: seen.update(args[0])
    )
    return seen


def test_reads_the_named_maps(tmp_path):
    model = build(tmp_path, taps=TAPS, connectors=ABF)
    seen = knowledge_of(model, 'feature')
    batch = batch_of()
    losses = losses_of(model, batch)
    assert losses['feature.loss_review'] > 0
    inputs = model.data_preprocessor(copy.deepcopy(batch))['inputs']
    with torch.no_grad():
        x, expected = model.teacher.model.backbone.conv1(inputs), []
        network = model.teacher.model.backbone
        x = network.layer1(network.norm1(x).relu())
        for stage in (network.layer2, network.layer3, network.layer4):
            x = stage(x)
            expected.append(x)
        expected.append(x.mean((2, 3), keepdim=True))
    for ours, theirs in zip(seen['teacher_feats'], expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    shapes = [feat.shape for feat in seen['student_feats']]
    assert shapes == [feat.shape for feat in expected]


def test_connector_gets_its_channels_from_the_networks(tmp_path):
    model = build(tmp_path, taps=TAPS, connectors=ABF)
    connector = model.distill['feature'].connectors['student_feats']
    assert connector.in_channels == [8, 16, 32, 32]
    assert connector.out_channels == [32, 64, 128, 128]


def test_looking_for_channels_leaves_no_trace(tmp_path):
    """The generator, the modes and the running means stay."""
    plain = build(tmp_path, taps=TAPS, connectors=ABF)
    state = torch.get_rng_state()
    again = build(tmp_path, taps=TAPS, connectors=ABF)
    assert torch.equal(state, torch.get_rng_state())
    assert all(module.training for module in again.student.modules())
    for key, value in again.student.state_dict().items():
        assert torch.equal(value, plain.student.state_dict()[key]), key
        if 'running_mean' in key:
            assert not value.any()


def test_a_connector_is_taken_where_channels_differ(tmp_path):
    model = build(tmp_path, taps=TAPS)
    cfg = model.distill['feature'].connectors.cfgs['student_feats']
    assert cfg['type'] == 'AlignConnector'
    assert cfg['in_channels'] == [8, 16, 32, 32]
    seen = knowledge_of(model, 'feature')
    losses_of(model, batch_of())
    for ours, theirs in zip(seen['student_feats'], seen['teacher_feats']):
        assert ours.shape == theirs.shape


def test_levels_differ(tmp_path):
    taps = dict(student=STAGES[:2], teacher=STAGES)
    with pytest.raises(UserError, match='has 2 maps.*teacher 4'):
        build(tmp_path, taps=taps, connectors=ABF)


@pytest.mark.parametrize(
    'taps, message',
    [
        (dict(student='neck'), 'where a point is'),
        (dict(student=[]), 'where a point is'),
        (dict(pupil=['neck']), 'where a point is'),
        (['neck'], 'where a point is'),
        (dict(student=['backbone.layer9']), "did you mean 'backbone.layer"),
        (dict(student=['head.fc']), 'records nothing'),
    ],
)
def test_bad_taps(tmp_path, taps, message):
    with pytest.raises(UserError, match=message):
        build(tmp_path, taps=taps)


def test_detectors_necks_are_the_default(teacher, batch):
    """An FPN is as wide on both sides: nothing to say about channels."""
    cfg = pair_cfg(teacher)
    cfg.distillers = dict(
        feature=dict(type='FeatureDistiller', losses=REVIEW, connectors=ABF)
    )
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(cfg).train()
    seen = knowledge_of(model, 'feature')
    losses = detector_losses(model, batch)
    assert losses['feature.loss_review'] > 0
    inputs = model.data_preprocessor(copy.deepcopy(batch))['inputs']
    expected = model.teacher.extract_feat(inputs)
    assert len(expected) == 5
    for ours, theirs in zip(seen['teacher_feats'], expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    for ours, theirs in zip(seen['student_feats'], expected, strict=True):
        assert ours.shape == theirs.shape


def test_a_tap_of_the_neck_converts_no_map_again(teacher, batch, monkeypatch):
    """What extract_feat returns in float32 is what the tap has recorded."""
    cfg = pair_cfg(teacher)
    cfg.distillers = dict(
        feature=dict(
            type='FeatureDistiller', losses=dict(loss_pkd=dict(type='PKDLoss'))
        )
    )
    model = build_detector(cfg)
    model.teacher.running.dtype = torch.bfloat16
    read, seen = model.distill['feature'].read, []
    monkeypatch.setattr(
        model.distill['feature'],
        'read',
        lambda *args: seen.append(args) or read(*args),
    )
    detector_losses(model, batch)
    ((_, records, feats, _),) = seen
    ((maps,),) = records.values()
    assert all(ours is theirs for ours, theirs in zip(maps, feats))
    assert {level.dtype for level in feats} == {torch.float32}
    assert model.teacher.running.made is None
