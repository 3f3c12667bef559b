"""A softmax is for logits of a softmax."""

import pytest
import torch
from mmdet.models.losses import CrossEntropyLoss
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from tiny import pair_cfg, tiny_spec

from kd_det.distillers.activations import check_softmax
from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.testing import (
    save_teacher,
    tiny_classifier,
    tiny_classifier_pair,
    tiny_pair,
)

MULTI = dict(type='MultiLabelLinearClsHead', _delete_=True)
BINARY = dict(type='CrossEntropyLoss', use_sigmoid=True)
SOFTMAX = dict(
    KDLoss={},
    HardKDLoss={},
    DKDLoss={},
    NKDLoss={},
    DISTLoss={},
    SDDLoss=dict(base=dict(type='KDLoss')),
    SoftmaxRegressionLoss=dict(mode='ce'),
)


def classifier(depth: int, **head) -> dict:
    spec = tiny_classifier(depth, 5)
    spec['head'].update(head)
    return spec


def pair(folder, loss: dict, student: dict, teacher: dict):
    init_default_scope('mmpretrain')
    losses = dict(loss_kd=loss)
    cfg = tiny_classifier_pair(
        folder, dict(logit=dict(type='LogitDistiller', losses=losses)), 5
    )
    cfg.student = student
    cfg.teacher = save_teacher(teacher, folder / 'teacher.pth')
    return MODELS.build(cfg)


def multi(depth: int) -> dict:
    return classifier(depth, type='MultiLabelLinearClsHead')


@pytest.mark.parametrize('kind', SOFTMAX)
def test_a_multi_label_teacher_is_refused(kind, tmp_path):
    loss = dict(type=kind, **SOFTMAX[kind])
    with pytest.raises(
        UserError,
        match="loss_kd: the teacher's MultiLabelLinearClsHead predicts a "
        'sigmoid for each class .*use a loss for independent classes',
    ):
        pair(tmp_path, loss, classifier(18), multi(50))


def test_a_multi_label_student_is_refused(tmp_path):
    loss = dict(type='KDLoss')
    with pytest.raises(UserError, match="the student's MultiLabelLinearCls"):
        pair(tmp_path, loss, multi(18), classifier(50))


def test_a_loss_of_mmrazor_is_refused(tmp_path):
    inputs = dict(preds_S='student_logits', preds_T='teacher_logits')
    loss = dict(type='mmrazor.KLDivergence', inputs=inputs)
    with pytest.raises(UserError, match="the student's MultiLabelLinearCls"):
        pair(tmp_path, loss, multi(18), multi(50))


def test_sigmoids_are_distilled_as_such(tmp_path):
    model = pair(tmp_path, dict(type='SigmoidKDLoss'), multi(18), multi(50))
    images = [torch.randint(0, 255, (3, 32, 32)).byte() for _ in range(2)]
    samples = [
        DataSample().set_gt_label([0, 2]),
        DataSample().set_gt_label([4]),
    ]
    for sample in samples:
        sample.set_field(5, 'num_classes', field_type='metainfo')
    batch = dict(inputs=images, data_samples=samples)
    data = model.train().data_preprocessor(batch, True)
    losses = model(**data, mode='loss')
    assert losses['logit.loss_kd'] > 0
    losses['logit.loss_kd'].backward()
    assert model.student.head.fc.weight.grad.norm() > 0


def test_losses_on_embeddings_do_not_care(tmp_path):
    student = dict(multi(18), head=dict(multi(18)['head']))
    loss = dict(type='RKDDistanceLoss')
    pair(tmp_path, loss, student, multi(50))


def test_a_softmax_trained_with_sigmoids_is_told(tmp_path, said):
    """As ResNet strikes back trains: its predictions take a softmax."""
    teacher = classifier(50, loss=BINARY)
    pair(tmp_path, dict(type='KDLoss'), classifier(18), teacher)
    (line,) = [line for line in said if 'a sigmoid for each class' in line]
    assert line.startswith("WARNING loss_kd: the teacher's LinearClsHead is")
    del said[:]
    pair(tmp_path, dict(type='KDLoss'), classifier(18), classifier(50))
    assert not [line for line in said if 'sigmoid' in line]


@pytest.mark.parametrize(
    ('kind', 'told'), [('KDLoss', True), ('SigmoidKDLoss', False)]
)
def test_a_dense_head_is_told(kind, told, tmp_path, said):
    init_default_scope('mmdet')
    distiller = dict(
        type='DenseDistiller', losses=dict(loss_kd=dict(type=kind))
    )
    cfg = tiny_pair(
        tmp_path,
        student='retinanet',
        teacher='retinanet',
        distillers=dict(dense=distiller),
    )
    MODELS.build(cfg)
    lines = [line for line in said if 'a sigmoid for each class' in line]
    assert bool(lines) == told


@MODELS.register_module(name='EachClassOfTests', force=True)
class EachClass(CrossEntropyLoss):
    """Scores as in some heads for long tails: a sigmoid for each class."""

    custom_activation = True

    def get_activation(self, logits):
        return logits.sigmoid()


def boxes(folder, side: str, loss: dict, kind: str = 'KDLoss'):
    """A pair of two-stage detectors, one of whose box heads has a loss."""
    init_default_scope('mmdet')
    specs = {key: tiny_spec() for key in ('student', 'teacher')}
    head = specs[side]['roi_head']['bbox_head']
    head['loss_cls'] = dict(loss, _delete_=True)
    teacher = save_teacher(specs['teacher'], folder / 'teacher.pth')
    losses = dict(loss_kd=dict(type=kind))
    return MODELS.build(pair_cfg(teacher, losses, student=specs['student']))


@pytest.mark.parametrize('side', ['student', 'teacher'])
def test_a_box_head_of_sigmoids(side, tmp_path, said):
    """MMDetection's predictions take a softmax, unless the loss says so."""
    binary = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)
    boxes(tmp_path, side, binary)
    (line,) = [line for line in said if 'a sigmoid for each class' in line]
    assert f"WARNING loss_kd: the {side}'s Shared2FCBBoxHead is" in line
    own = dict(type='kd_det.EachClassOfTests')
    with pytest.raises(UserError, match=f"the {side}'s .* predicts a sigmoid"):
        boxes(tmp_path, side, own)
    boxes(tmp_path, side, own, 'SigmoidKDLoss')


def test_heads_that_say_nothing_are_left_alone(said):
    check_softmax(['loss_kd'], 'teacher', torch.nn.Linear(2, 2))
    assert not said
