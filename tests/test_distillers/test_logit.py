"""LogitDistiller: what it reads, what it refuses, what it needs."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.models import LinearClsHead
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn import functional as F

from kd_det.centroids import CentroidBank
from kd_det.distillers import base
from kd_det.errors import UserError
from kd_det.losses import DistillLoss
from kd_det.registry import MODELS
from kd_det.testing import save_teacher, tiny_classifier, tiny_classifier_pair

KD = dict(loss_kd=dict(type='KDLoss', tau=4.0))
SDD = dict(loss_sdd=dict(type='SDDLoss', base=dict(type='KDLoss')))
ADAPTOR = dict(student_embed=dict(type='EmbeddingAdaptor', dropout=0.0))


@MODELS.register_module(force=True)
class EverythingLoss(DistillLoss):
    """Asks for all there is and keeps it."""

    def forward(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        student_embed: Tensor,
        teacher_embed: Tensor,
        student_region_logits: Tensor,
        teacher_region_logits: Tensor,
        cross_logits: Tensor,
        labels: Tensor,
        region_labels: Tensor,
    ) -> Tensor:
        self.seen = {k: v for k, v in locals().items() if k != 'self'}
        return self.mean((student_logits - teacher_logits).pow(2).sum(1))


EVERYTHING = dict(loss_all=dict(type='EverythingLoss'))


def build(folder, losses, student=None, **kwargs):
    """A pair of an R-18 (32 wide) and an R-50 (128 wide)."""
    init_default_scope('mmpretrain')
    cfg = tiny_classifier_pair(
        folder,
        dict(logit=dict(type='LogitDistiller', losses=losses, **kwargs)),
    )
    if student:
        cfg.student = student
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def batch_of(size=32, labels=(3, 1, 4, 1)):
    generator = torch.Generator().manual_seed(1)
    shape = (3, size, size)
    images = [
        torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        for _ in labels
    ]
    samples = [DataSample().set_gt_label(label) for label in labels]
    return dict(inputs=images, data_samples=samples)


def losses_of(model, batch):
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    return model(**data, mode='loss')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return build(
        tmp_path_factory.mktemp('pair'), EVERYTHING, connectors=ADAPTOR
    )


@torch.no_grad()
def by_hand(network, inputs):
    """Last map, embedding and logits of a classifier."""
    feature_map = network.backbone(inputs)[-1]
    embed = feature_map.mean((2, 3))
    return feature_map, embed, F.linear(embed, *network.head.fc.parameters())


def regions_by_hand(feature_map, layer, scales):
    """Class layer on every cell, in loops; the sides divide the map's."""
    cells = []
    for scale in scales:
        step = feature_map.shape[-1] // scale
        for row in range(scale):
            for column in range(scale):
                cell = feature_map[
                    ...,
                    row * step : (row + 1) * step,
                    column * step : (column + 1) * step,
                ]
                cells.append(layer(cell.mean((2, 3))))
    return torch.stack(cells, 2)


def test_reads_what_both_networks_compute(model):
    batch = batch_of()
    losses_of(model, batch)
    seen = model.distill['logit'].losses['loss_all'].seen
    provided = set(model.distill['logit'].provides)
    assert set(seen) == provided
    inputs = model.data_preprocessor(copy.deepcopy(batch))['inputs']
    for side, network in (
        ('teacher', model.teacher.model),
        ('student', model.student),
    ):
        feature_map, embed, logits = by_hand(network, inputs)
        regions = regions_by_hand(feature_map, network.head.fc, (1, 2, 4))
        torch.testing.assert_close(seen[f'{side}_logits'], logits)
        torch.testing.assert_close(seen[f'{side}_region_logits'], regions)
        if side == 'teacher':
            torch.testing.assert_close(seen['teacher_embed'], embed)
    assert seen['labels'].tolist() == [3, 1, 4, 1]


def test_connector_widens_the_embedding_and_not_the_logits(model):
    losses_of(model, batch_of())
    seen = model.distill['logit'].losses['loss_all'].seen
    assert seen['student_embed'].shape == (4, 128)
    adaptor = model.distill['logit'].connectors['student_embed']
    assert adaptor.linear.in_features == 32
    layer = model.teacher.model.head.fc
    torch.testing.assert_close(
        seen['cross_logits'], layer(seen['student_embed'])
    )


def test_gradient_reaches_the_student_through_the_teachers_layer(tmp_path):
    model = build(tmp_path, EVERYTHING, connectors=ADAPTOR)
    losses_of(model, batch_of())
    seen = model.distill['logit'].losses['loss_all'].seen
    seen['cross_logits'].sum().backward()
    weight = model.distill['logit'].connectors['student_embed'].linear.weight
    assert weight.grad.abs().sum() > 0
    assert model.student.backbone.conv1.weight.grad.abs().sum() > 0
    assert model.teacher.model.head.fc.weight.grad is None


def test_task_loss_is_that_of_the_student_alone(model):
    batch = batch_of()
    alone = copy.deepcopy(model.student)
    data = alone.data_preprocessor(copy.deepcopy(batch), True)
    losses = losses_of(model, batch)
    assert set(losses) == {'loss_task', 'logit.loss_all'}
    expected = alone(**data, mode='loss')['loss']
    assert torch.equal(losses['loss_task'], expected)


def test_checkpoint_is_the_students(model):
    keys = set(model.state_dict())
    assert set(model.student.state_dict()) <= keys
    rest = keys - set(model.student.state_dict())
    start = 'distill.logit.connectors.student_embed.'
    assert rest and all(key.startswith(start) for key in rest)


def test_nothing_is_pooled_that_no_loss_asks_for(tmp_path):
    model = build(tmp_path, KD)
    distiller = model.distill['logit']
    seen = {}
    distiller.register_forward_pre_hook(lambda _, args: seen.update(args[0]))
    losses_of(model, batch_of())
    assert not any('region' in key or 'cross' in key for key in seen)
    assert distiller.teacher_points == {}


@pytest.mark.parametrize('via', [False, True])
def test_scales(tmp_path, via):
    model = build(tmp_path, SDD, scales=(1, 2), via_4x4=via)
    seen = {}
    model.distill['logit'].register_forward_pre_hook(
        lambda _, args: seen.update(args[0])
    )
    losses_of(model, batch_of())
    assert seen['student_region_logits'].shape == (4, 10, 5)


def test_a_scale_finer_than_the_map_is_said_once(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        base, 'print_log', lambda text, *_, **__: said.append(text)
    )
    model = build(tmp_path, SDD)
    for _ in range(2):
        losses_of(model, batch_of(size=16))  # the last map is 2 x 2
    assert len(said) == 2  # each side once
    for side, text in zip(('student', 'teacher'), said):
        assert f"the {side}'s last map is only 2 cells wide" in text
        assert 'scale 4 adds no detail' in text


def test_widths_differ(tmp_path):
    nd = dict(loss_nd=dict(type='NDLoss'))
    bank = str(tmp_path / 'bank.npz')
    with pytest.raises(UserError, match='32 wide.*128; add connectors'):
        build(tmp_path, nd, centroids=bank)
    build(tmp_path, nd, centroids=bank, connectors=ADAPTOR)
    build(tmp_path, KD)  # logits alone do not care


def test_class_counts_differ(tmp_path):
    with pytest.raises(UserError, match='7 classes, the teacher 10'):
        build(tmp_path, KD, student=tiny_classifier(18, 7))


def test_cosines_are_no_logits(tmp_path):
    """ArcFace scales the cosines of its layer: KD would see 1 / 64 of it."""
    student = tiny_classifier()
    student['head'].update(type='ArcFaceClsHead')
    message = "student's layer 'head.norm_product', a NormProduct, outputs"
    with pytest.raises(UserError, match=message):
        build(tmp_path, KD, student=student)
    norm = dict(loss_norm=dict(type='NormLoss'))
    build(tmp_path, norm, student=student, connectors=ADAPTOR)


@MODELS.register_module(name='TwiceClsHeadOfTests', force=True)
class TwiceClsHead(LinearClsHead):
    """One that looks at its images twice."""

    def forward(self, feats):
        return (super().forward(feats) + super().forward(feats)) / 2


def test_a_head_that_runs_twice(tmp_path):
    student = tiny_classifier()
    student['head'].update(type='kd_det.TwiceClsHeadOfTests')
    model = build(tmp_path, KD, student=student)
    with pytest.raises(UserError, match='TwiceClsHead runs its .* 2 times'):
        losses_of(model, batch_of())


def test_not_a_classifier(tmp_path):
    student = dict(tiny_classifier(), head=None)
    with pytest.raises(UserError, match='no linear classification layer'):
        build(tmp_path, KD, student=student)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(scales=(3, 'x')), 'scales'),
        (dict(scales=()), 'scales'),
        (dict(taps=dict(embed='head.fc')), 'accepted are map, targets'),
        (dict(taps=dict(classifier='head.fx')), "did you mean 'head.fc'"),
        (dict(connectors=dict(labels=ADAPTOR)), "connectors has 'labels'"),
        (dict(connectors=dict(student_logits=3)), 'a dict with the type'),
        (
            dict(connectors=dict(student_logits=dict(type='ABFConnector'))),
            'not know the channels of student_logits',
        ),
    ],
)
def test_bad_arguments(tmp_path, kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(tmp_path, KD, **kwargs)


def test_regions_need_global_average_pooling(tmp_path):
    student = tiny_classifier()
    student['head'] = dict(
        type='StackedLinearClsHead',
        num_classes=10,
        in_channels=32,
        mid_channels=[16],
    )
    model = build(tmp_path, SDD, student)
    with pytest.raises(UserError, match='global average pooling'):
        losses_of(model, batch_of())


def test_teacher_samples(model):
    batch = model.data_preprocessor(batch_of())
    distiller = model.distill['logit']
    embed, labels = distiller.teacher_samples(
        batch['inputs'], batch['data_samples'], 'gt'
    )
    expected = by_hand(model.teacher.model, batch['inputs'])[1]
    torch.testing.assert_close(embed, expected)
    assert labels.tolist() == [3, 1, 4, 1]
    with pytest.raises(UserError, match='no proposals'):
        distiller.teacher_samples(**batch, source='proposals')


def test_a_class_without_mean_stops_the_run(tmp_path):
    path = str(tmp_path / 'bank.npz')
    counts = np.ones(10, np.int64)
    counts[4] = 0
    means = np.ones((10, 128), np.float32)
    names = tuple('abcdefghij')
    CentroidBank(means, counts, names).save(path)
    nd = dict(loss_nd=dict(type='NDLoss'))
    model = build(tmp_path, nd, centroids=path, connectors=ADAPTOR)
    with pytest.raises(UserError, match='no mean of 1 classes.*row 4'):
        model.distill['logit'].check_coverage()


VIT = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=10),
    backbone=dict(
        type='VisionTransformer',
        arch=dict(
            embed_dims=24,
            num_layers=2,
            num_heads=2,
            feedforward_channels=24,
        ),
        img_size=32,
        patch_size=16,
    ),
    head=dict(type='VisionTransformerClsHead', num_classes=10, in_channels=24),
)


def token_model(kind):
    model = copy.deepcopy(VIT)
    if kind == 'deit':
        model['backbone']['type'] = 'DistilledVisionTransformer'
        model['head']['type'] = 'DeiTClsHead'
    return model


@pytest.mark.parametrize('kind', ['vit', 'deit'])
def test_token_models_as_teachers(tmp_path, kind):
    """The class token, or the mean of class and distillation token."""
    init_default_scope('mmpretrain')
    teacher = save_teacher(token_model(kind), tmp_path / 'vit.pth')
    cfg = tiny_classifier_pair(
        tmp_path, dict(logit=dict(type='LogitDistiller', losses=KD))
    )
    cfg.teacher = teacher
    model = MODELS.build(cfg)
    inputs = torch.randn(2, 3, 32, 32)
    network = model.teacher.model
    embed, logits = model.distill['logit'].look(
        model.teacher.extract_feat(inputs)
    )
    with torch.no_grad():
        tokens = network.backbone(inputs)[-1]
        expected = network(inputs)
    if kind == 'deit':
        tokens = (tokens[0] + tokens[1]) / 2
    torch.testing.assert_close(embed, tokens)
    torch.testing.assert_close(logits, expected)


def test_mixed_labels_pass_as_they_are(tmp_path):
    student = tiny_classifier()
    student['train_cfg'] = dict(augments=[dict(type='Mixup', alpha=0.8)])
    model = build(tmp_path, KD, student)
    seen = {}
    model.distill['logit'].register_forward_pre_hook(
        lambda _, args: seen.update(args[0])
    )
    torch.manual_seed(0)
    losses_of(model, batch_of())
    assert seen['labels'].shape == (4, 10)
    torch.testing.assert_close(seen['labels'].sum(1), torch.ones(4))
