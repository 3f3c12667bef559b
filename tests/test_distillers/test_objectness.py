"""YOLOX, whose boxes are ranked by class probability times objectness."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from kd_det.distillers.objectness import joint_logits
from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.testing import tiny_batch, tiny_pair

K = 6
LOSSES = dict(
    loss_kd=dict(type='DenseKDLoss'),
    loss_nd=dict(type='NormLoss'),
    loss_sdd=dict(type='SDDLoss', base=dict(type='SigmoidKDLoss')),
)
YOLOX = dict(
    cfg='mmdet::yolox/yolox_tiny_8xb8-300e_coco.py',
    data_preprocessor=dict(batch_augments=None),
    backbone=dict(widen_factor=0.125),
    neck=dict(in_channels=[32, 64, 128], out_channels=16),
    bbox_head=dict(num_classes=K, in_channels=16, feat_channels=16),
)


def build(folder, student, teacher, losses=LOSSES):
    init_default_scope('mmdet')
    dense = dict(type='DenseDistiller', losses=losses)
    cfg = tiny_pair(
        folder,
        student=student,
        teacher=teacher,
        distillers=dict(dense=dense),
    )
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    return build(tmp_path_factory.mktemp('yolox'), YOLOX, YOLOX)


def step(model, **kwargs):
    """Losses, what the distiller hands them, and the student's head."""
    batch = tiny_batch(model, size=(96, 128), **kwargs)
    data = model.data_preprocessor(batch, True)
    seen, heads = {}, []
    handles = [
        model.distill['dense'].register_forward_pre_hook(
            lambda _, args: seen.update(args[0])
        ),
        model.student.bbox_head.register_forward_hook(
            lambda _, args, out: heads.append(out)
        ),
    ]
    losses = model(**copy.deepcopy(data), mode='loss')
    for handle in handles:
        handle.remove()
    return losses, seen, heads[-1], data['data_samples']


def naive(outputs, head, samples):
    """Logits and labels of every location, by the head's own assigner."""
    scores, boxes, objects = outputs
    sizes = [level.shape[-2:] for level in scores]
    priors = torch.cat(
        head.prior_generator.grid_priors(sizes, device='cpu', with_stride=True)
    )
    logits, labels = [], []
    for n, sample in enumerate(samples):
        c, b, o = (
            torch.cat([m[n].flatten(1).T for m in maps]).detach()
            for maps in (scores, boxes, objects)
        )
        found = head._get_targets_single(
            priors,
            c,
            head._bbox_decode(priors, b[None])[0],
            o[:, 0],
            sample.gt_instances,
            sample.metainfo,
        )
        label = np.full(len(c), K)
        label[found[0].numpy()] = found[1].argmax(1).numpy()
        labels.append(label)
        p = 1 / (1 + np.exp(-c.double().numpy()))
        p = p / (1 + np.exp(-o.double().numpy()))
        logits.append(np.log(p / (1 - p)))
    ends = np.cumsum([h * w for h, w in sizes])[:-1]
    by_level = (
        [np.split(part, ends) for part in logits],
        [np.split(part, ends) for part in labels],
    )
    return [
        np.concatenate([image[i] for i in range(len(sizes)) for image in part])
        for part in by_level
    ]


def test_logits_and_labels(pair):
    _, seen, outputs, samples = step(pair)
    logits, labels = naive(outputs, pair.student.bbox_head, samples)
    found = seen['student_dense_logits'].detach().double().numpy()
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-4)
    on_object = labels < K
    assert 0 < on_object.sum() < len(labels)
    assert (seen['dense_foreground'].numpy() == on_object).all()
    assert (seen['labels'].numpy() == labels[on_object]).all()
    assert seen['student_logits'].shape == (on_object.sum(), K)


def test_losses_reach_classes_and_objectness(pair):
    losses, *_ = step(pair)
    pair.zero_grad()
    losses['dense.loss_kd'].backward()
    head = pair.student.bbox_head
    for convs in (head.multi_level_conv_cls, head.multi_level_conv_obj):
        assert all(conv.weight.grad.abs().max() > 0 for conv in convs)
    assert all(p.grad is None for p in pair.teacher.model.parameters())


def test_no_object(pair):
    pair.zero_grad()
    losses, seen, *_ = step(pair, without_objects=(0, 1))
    assert not seen['dense_foreground'].any() and len(seen['labels']) == 0
    total = sum(v for k, v in losses.items() if k.startswith('dense.'))
    total.backward()
    assert torch.isfinite(total)


@pytest.mark.parametrize('student, teacher', [('gfl', YOLOX), (YOLOX, 'fcos')])
def test_beside_heads_without_objectness(tmp_path, student, teacher):
    losses = dict(loss_kd=LOSSES['loss_kd'])
    values, *_ = step(build(tmp_path, student, teacher, losses))
    assert values['dense.loss_kd'] > 0


def test_student_features_in_the_teachers_layer(tmp_path):
    losses = dict(loss_sr=dict(type='SoftmaxRegressionLoss'))
    with pytest.raises(UserError, match='YOLOXHead include objectness'):
        build(tmp_path, YOLOX, YOLOX, losses)


def test_joint_logits_far_from_zero():
    scores = torch.tensor([-80.0, 0, 80, 80]).reshape(1, 4, 1, 1)
    objects = torch.tensor([80.0]).reshape(1, 1, 1, 1)
    close = torch.testing.assert_close
    close(joint_logits(scores, objects), scores.clamp(max=80 - np.log(2)))
    close(joint_logits(scores, -objects)[0, 1], -objects[0, 0] - np.log(2))
    maps = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    others = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(joint_logits, (others, maps))
