"""EmbeddingDistiller: pairs of networks that have no classes."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmpretrain.structures import DataSample

from kd_det.errors import UserError
from kd_det.functional import rkd_angle_loss, rkd_distance_loss
from kd_det.registry import MODELS

RKD = dict(
    loss_rkd_d=dict(type='RKDDistanceLoss', loss_weight=1.0),
    loss_rkd_a=dict(type='RKDAngleLoss', loss_weight=2.0),
)
CLASSES = ('a', 'b')


def network(dims, width=4, **changes):
    return dict(
        _scope_='mmpretrain',
        type='kd_det.EmbeddingModel',
        backbone=dict(type='kd_det.Conv4', width=width),
        in_channels=width,
        embed_dims=dims,
        data_preprocessor=dict(mean=[0.0] * 3, std=[255.0] * 3),
        **changes,
    )


@pytest.fixture
def teacher(tmp_path):
    spec = network(12, 6, normalize=True)
    torch.manual_seed(0)
    state = MODELS.build(spec).state_dict()
    # what another set's run writes: its classes are other ones
    meta = dict(dataset_meta=dict(classes=('x', 'y', 'z')))
    torch.save(dict(state_dict=state, meta=meta), tmp_path / 'teacher.pth')
    return dict(spec, ckpt=str(tmp_path / 'teacher.pth'))


def pair(teacher, student=None, losses=None, **distiller):
    return dict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=teacher,
        student=student or network(5),
        classes=CLASSES,
        distillers=dict(
            embed=dict(
                type='EmbeddingDistiller', losses=losses or RKD, **distiller
            )
        ),
    )


def data():
    torch.manual_seed(1)
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(k // 3) for k in range(6)]
    return dict(inputs=[*images], data_samples=samples)


def test_losses_are_those_of_the_two_outputs(teacher):
    model = MODELS.build(pair(teacher)).eval()
    batch = model.data_preprocessor(data(), True)
    losses = model(**batch, mode='loss')
    ours = model.student(batch['inputs'])
    theirs = model.teacher.model(batch['inputs'])
    assert ours.shape == (6, 5) and theirs.shape == (6, 12)
    torch.testing.assert_close(theirs.norm(dim=1), torch.ones(6))
    wanted = rkd_distance_loss(ours, theirs), rkd_angle_loss(ours, theirs)
    assert losses.keys() == {'embed.loss_rkd_d', 'embed.loss_rkd_a'}
    torch.testing.assert_close(losses['embed.loss_rkd_d'], wanted[0])
    torch.testing.assert_close(losses['embed.loss_rkd_a'], 2 * wanted[1])


def test_trains_with_a_loss_of_the_student(teacher):
    student = network(5, loss=dict(type='kd_det.TripletLoss', mining='all'))
    model = MODELS.build(pair(teacher, student)).train()
    wrapper = build_optim_wrapper(
        model, dict(optimizer=dict(type='SGD', lr=0.1))
    )
    before = {k: v.clone() for k, v in model.named_parameters()}
    logs = model.train_step(data(), wrapper)
    assert {*logs} == {
        'loss',
        'loss_task',
        'embed.loss_rkd_d',
        'embed.loss_rkd_a',
    }
    parts = sum(value for key, value in logs.items() if key != 'loss')
    torch.testing.assert_close(logs['loss'], parts)
    moved = {k for k, v in model.named_parameters() if (v != before[k]).any()}
    assert {'head.fc.weight', 'head.fc.bias'} - moved <= {
        'head.fc.bias'  # relations do not see a shift
    }


def test_checkpoint_is_the_student_alone(teacher):
    model = MODELS.build(pair(teacher))
    student = MODELS.build(network(5))
    student.load_state_dict(model.state_dict())


def test_widths_must_agree_for_entries(teacher):
    losses = dict(loss_fm=dict(type='FeatureMatchingLoss'))
    with pytest.raises(UserError, match="5 wide, the teacher's 12"):
        MODELS.build(pair(teacher, losses=losses))


def test_connector(teacher):
    losses = dict(loss_fm=dict(type='FeatureMatchingLoss'))
    connectors = dict(student_embed=dict(type='EmbeddingAdaptor'))
    model = MODELS.build(pair(teacher, losses=losses, connectors=connectors))
    batch = model.data_preprocessor(data(), True)
    losses = model(**batch, mode='loss')
    assert losses['embed.loss_fm'] > 0
    shapes = {tuple(w.shape) for w in model.distill.parameters()}
    assert (12, 5) in shapes


def test_asks_for_what_is_not_there(teacher):
    losses = dict(loss_kd=dict(type='KDLoss'))
    with pytest.raises(UserError, match='student_embed, teacher_embed, lab'):
        MODELS.build(pair(teacher, losses=losses))


def test_a_classifier_is_refused(teacher):
    student = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type='kd_det.Conv4', width=4),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=4),
    )
    with pytest.raises(UserError, match='use LogitDistiller'):
        MODELS.build(pair(teacher, student))
