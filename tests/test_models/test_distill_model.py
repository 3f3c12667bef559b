"""The pair as one model: the student's losses, keys, randomness and modes."""

import copy
import gc
import weakref

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from mmengine.structures import BaseDataElement
from tiny import (
    CLASSES,
    KD,
    ND,
    ND_FOREGROUND,
    NUM,
    TASK,
    batch_of,
    build,
    build_student,
    count_calls,
    losses_of,
    open_hooks,
    pair_cfg,
    tiny_spec,
    total,
    without_objects,
)
from torch import nn

from kd_det.centroids import CentroidBank
from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.testing import save_teacher

EVERY = dict(
    **KD,
    loss_nd=dict(type='NDLoss'),
    loss_nd_foreground=dict(type='NDLoss', background='foreground'),
    loss_norm=dict(type='NormLoss', loss_weight=0.01),
    loss_cosine=dict(type='FDRCosineLoss'),
    loss_nce=dict(type='FDRInfoNCELoss', background='foreground'),
    loss_sifn=dict(type='SIFNLoss', num_classes=NUM + 1, loss_weight=0.01),
)
DISTILLED = {f'roi.{name}' for name in EVERY}


@pytest.fixture(scope='module')
def every(teacher, bank):
    """A pair with every loss; tests that change it make a copy."""
    return build(pair_cfg(teacher, EVERY, bank))


def check_backward(model, losses):
    """Every loss and every gradient of the student is finite."""
    for name, value in losses.items():
        values = value if isinstance(value, list) else [value]
        assert all(v.isfinite().all() for v in values), name
    model.zero_grad()
    total(model, losses).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_losses_of_both(every, batch):
    losses = losses_of(every, batch)
    assert {*losses} == {*TASK, 'acc', *DISTILLED}
    check_backward(every, losses)
    for name in DISTILLED:
        assert losses[name].shape == () and losses[name] > 0, name
    # MMEngine adds up what it should
    expected = sum(
        sum(v.mean() for v in value) if isinstance(value, list) else value
        for name, value in losses.items()
        if name != 'acc'
    )
    torch.testing.assert_close(total(every, losses), expected)


def test_task_losses_are_those_of_plain_mmdet(every, batch):
    alone = losses_of(build_student(), batch, seed=5)
    losses = losses_of(every, batch, seed=5)
    for name, value in alone.items():
        if isinstance(value, list):
            assert all(map(torch.equal, value, losses[name])), name
        else:
            assert torch.equal(value, losses[name]), name


def test_zero_weights_leave_the_gradients_alone(teacher, bank, batch):
    zero = {
        name: dict(cfg, loss_weight=0.0)
        for name, cfg in EVERY.items()
        if name != 'loss_sifn'
    }
    model = build(pair_cfg(teacher, zero, bank), seed=2)
    alone = build_student(seed=2)
    for network in (model, alone):
        total(network, losses_of(network, batch)).backward()
    expected = dict(alone.named_parameters())
    for name, parameter in model.student.named_parameters():
        assert torch.equal(parameter.grad, expected[name].grad), name


def test_distillation_reaches_the_student_alone(teacher, bank, batch):
    """The gradient of KD + ND by hand, from what the networks computed."""
    model = build(pair_cfg(teacher, {**KD, **ND}, bank))
    seen = {}
    head = model.student.roi_head.bbox_head
    head.fc_cls.register_forward_hook(
        lambda _, args, out: seen.update(embed=args[0], logits=out)
    )
    theirs = model.teacher.model.roi_head.bbox_head
    theirs.fc_cls.register_forward_hook(
        lambda _, args, out: seen.update(t_embed=args[0], t_logits=out)
    )
    losses = losses_of(model, batch)
    assert not seen['t_embed'].requires_grad
    grad = torch.autograd.grad(
        losses['roi.loss_kd'], seen['logits'], retain_graph=True
    )[0]
    n = len(seen['logits'])
    expected = seen['logits'].softmax(1) - seen['t_logits'].softmax(1)
    torch.testing.assert_close(grad, expected / n)
    grad = torch.autograd.grad(losses['roi.loss_nd'], seen['embed'])[0]
    assert grad.norm(dim=1).max() <= 1 / n / seen['embed'].norm(dim=1).min()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert not any(p.requires_grad for p in model.teacher.parameters())


def test_nothing_runs_twice_and_no_hook_stays(teacher, bank, batch):
    model = build(pair_cfg(teacher, {**KD, **ND}, bank))
    networks = model, model.teacher
    before = open_hooks(*networks)
    losses_of(model, batch)
    assert open_hooks(*networks) == before
    ours, theirs = model.student, model.teacher.model
    calls = {
        (side, path): count_calls(network.get_submodule(path))
        for side, network in (('student', ours), ('teacher', theirs))
        for path in (
            'backbone',
            'neck',
            'rpn_head',
            'roi_head.bbox_roi_extractor',
            'roi_head.bbox_head',
            'roi_head.bbox_head.fc_cls',
        )
    }
    losses_of(model, batch)
    counts = {key: len(entries) for key, entries in calls.items()}
    assert counts.pop(('teacher', 'rpn_head')) == 0
    assert set(counts.values()) == {1}, counts


def broken_batch(model, data):
    data['data_samples'] = data['data_samples'][:1]


def broken_teacher(model, data):
    model.teacher.model.roi_head.bbox_head.shared_fcs[0] = nn.Linear(3, 3)


def no_bank(model, data):
    model.distill['roi'].bank = None


@pytest.mark.parametrize('breaks', [broken_batch, broken_teacher, no_bank])
def test_no_hook_stays_after_an_exception(teacher, bank, batch, breaks):
    model = build(pair_cfg(teacher, ND, bank))
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    breaks(model, data)
    with pytest.raises((ValueError, RuntimeError)):
        model(**data, mode='loss')
    assert open_hooks(model, model.teacher) == 0


def test_nothing_of_a_step_is_kept(every, batch):
    losses = losses_of(every, batch)
    graph = weakref.ref(losses['roi.loss_kd'])
    del losses
    gc.collect()
    assert graph() is None


@pytest.mark.parametrize('images', [(0,), (1,), (0, 1)])
def test_images_without_objects(every, batch, images):
    model = copy.deepcopy(every)
    losses = losses_of(model, without_objects(batch, *images))
    check_backward(model, losses)
    if len(images) == 2:  # no positive either
        assert losses['roi.loss_nd_foreground'] == 0
        assert losses['roi.loss_nce'] == 0
        assert losses['roi.loss_nd'] > 0


def test_no_positive_among_objects(teacher, bank, batch):
    student = tiny_spec()
    assigner = dict(pos_iou_thr=1.1, neg_iou_thr=1.1, min_pos_iou=1.1)
    student['train_cfg']['rcnn'].update(assigner=assigner)
    model = build(pair_cfg(teacher, EVERY, bank, student))
    sampler = model.student.roi_head.bbox_sampler
    sampler.add_gt_as_proposals = False
    losses = losses_of(model, batch)
    assert losses['loss_bbox'] == 0
    assert losses['roi.loss_nd_foreground'] == 0
    check_backward(model, losses)


def test_no_region_at_all(teacher, bank, batch):
    model = build(pair_cfg(teacher, EVERY, bank, tiny_spec(num_rois=0)))
    losses = losses_of(model, without_objects(batch, 0, 1))
    for name in DISTILLED:
        assert losses[name] == 0, name
    total(model, losses).backward()
    grad = model.student.roi_head.bbox_head.fc_cls.weight.grad
    assert grad is not None and grad.abs().max() == 0


def random_bank(path, rows, zero=()):
    means = np.random.default_rng(0).random((rows, 32), np.float32)
    counts = np.ones(rows, np.int64)
    means[list(zero)], counts[list(zero)] = 0, 0
    names = tuple(f'class {row}' for row in range(rows))
    CentroidBank(means, counts, names).save(path)
    return path


def test_one_class(tmp_path, batch):
    spec = tiny_spec(50, 1)
    teacher = save_teacher(spec, tmp_path / 'teacher.pth', ('shape',))
    losses = copy.deepcopy(EVERY)
    losses['loss_sifn']['num_classes'] = 2
    bank = random_bank(tmp_path / 'bank.npz', 2)
    student = tiny_spec(18, 1)
    model = build(pair_cfg(teacher, losses, bank, student))
    batch = copy.deepcopy(batch)
    for sample in batch['data_samples']:
        sample.gt_instances.labels[:] = 0
    losses = losses_of(model, batch)
    check_backward(model, losses)
    # with one class, no class contrasts with it: exactly nothing to learn
    assert losses['roi.loss_nce'] == 0
    assert losses['roi.loss_nd_foreground'] > 0


def test_a_class_without_mean(tmp_path, teacher, batch):
    labels = torch.cat([s.gt_instances.labels for s in batch['data_samples']])
    present = labels[0].item()
    absent = next(c for c in range(NUM) if c not in labels)
    for zero, fine in ((absent, True), (present, False)):
        path = random_bank(tmp_path / 'bank.npz', NUM + 1, [zero])
        model = build(pair_cfg(teacher, ND_FOREGROUND, path))
        if fine:
            check_backward(model, losses_of(model, batch))
        else:
            with pytest.raises(ValueError, match=f'classes {zero} are zero'):
                losses_of(model, batch)


def test_a_bank_that_is_not_there_yet(tmp_path, teacher, batch):
    path = str(tmp_path / 'none.npz')
    model = build(pair_cfg(teacher, ND, path))
    with pytest.raises(UserError, match='CentroidHook'):
        losses_of(model, batch)


def test_loss_named_loss_becomes_a_task_loss(tmp_path, every, batch):
    """A classifier's head calls its loss `loss`, like MMEngine the total."""
    model = copy.deepcopy(every)

    class Renamed(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, *args, **kwargs):
            losses = self.inner(*args, **kwargs)
            losses['loss'] = losses.pop('loss_cls')
            return losses

    model.student = Renamed(model.student)
    losses = losses_of(model, batch)
    assert 'loss' not in losses and 'loss_task' in losses
    assert total(model, losses) > losses['loss_task']


def test_predict_and_tensor_are_the_student_alone(every, batch):
    model = copy.deepcopy(every).eval()
    calls = count_calls(model.teacher.model.backbone)
    data = model.data_preprocessor(copy.deepcopy(batch), False)
    assert 'teacher_inputs' not in data
    with torch.no_grad():
        for ours, alone in zip(
            model(**copy.deepcopy(data), mode='predict'),
            model.student(**copy.deepcopy(data), mode='predict'),
        ):
            ours, alone = ours.pred_instances, alone.pred_instances
            assert torch.equal(ours.bboxes, alone.bboxes)
            assert torch.equal(ours.scores, alone.scores)
        ours, alone = model(**data), model.student(**data)
        torch.testing.assert_close(ours, alone, rtol=0, atol=0)
    assert isinstance(model.val_step(copy.deepcopy(batch))[0], BaseDataElement)
    assert calls == []


def test_built_and_initialised_as_without_a_teacher(teacher, bank):
    alone = build_student(seed=11)
    after = torch.rand(3)
    model = build(pair_cfg(teacher, EVERY, bank), seed=11)
    assert torch.equal(torch.rand(3), after)
    theirs = model.student.state_dict()
    for name, value in alone.state_dict().items():
        assert torch.equal(value, theirs[name]), name


def test_teacher_draws_nothing_in_a_step(every, batch):
    losses_of(build_student(), batch)
    expected = torch.rand(3)
    losses_of(every, batch)
    assert torch.equal(torch.rand(3), expected)


def test_state_dict_is_the_students(every, teacher):
    alone = build_student()
    for state in (every.state_dict(), get_state_dict(every)):
        own = [key for key in state if not key.startswith('distill.')]
        assert own == list(alone.state_dict())
        assert {*state} - {*own} == {
            'distill.roi.losses.loss_sifn.previous_norms'
        }
        alone.load_state_dict({key: state[key] for key in own}, strict=True)
        # versions of layers stand under their own names too
        assert {*alone.state_dict()._metadata} <= {*state._metadata, ''}


@pytest.mark.parametrize('how', ['torch', 'mmengine', 'nested'])
def test_load_state_dict(every, teacher, bank, how):
    model = build(pair_cfg(teacher, EVERY, bank), seed=3)
    model.distill['roi'].losses['loss_sifn'].previous_norms[:] = 7
    before = {k: v.clone() for k, v in model.state_dict().items()}
    other = copy.deepcopy(every)
    if how == 'torch':
        assert not any(other.load_state_dict(model.state_dict()))
    elif how == 'mmengine':
        load_state_dict(other, get_state_dict(model), strict=True)
    else:  # as an averaged copy or a data-parallel wrapper holds it
        wrapped = nn.ModuleDict({'module': model})
        state = wrapped.state_dict()
        assert {*state} == {f'module.{key}' for key in before}
        nn.ModuleDict({'module': other}).load_state_dict(state)
    for name, value in other.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_plain_students_weights_load(every):
    """The pair can begin with, or resume into, a student trained alone."""
    model, alone = copy.deepcopy(every), build_student(seed=9)
    load_state_dict(model, get_state_dict(alone))
    expected = alone.state_dict()
    for name, value in model.student.state_dict().items():
        assert torch.equal(value, expected[name]), name
    missing, unexpected = model.load_state_dict(
        alone.state_dict(), strict=False
    )
    assert missing == ['distill.roi.losses.loss_sifn.previous_norms']
    assert unexpected == []


def test_no_parameter_of_the_teacher_is_the_models(every):
    theirs = {id(p) for p in every.teacher.parameters()}
    theirs |= {id(b) for b in every.teacher.buffers()}
    assert theirs
    assert not theirs & {id(p) for p in every.parameters()}
    assert not theirs & {id(b) for b in every.buffers()}
    assert not any('teacher' in name for name, _ in every.named_modules())


def test_teacher_stays_in_eval_mode(every):
    model = copy.deepcopy(every)
    for mode in (True, False, True):
        model.train(mode)
        model.teacher.train(mode)
        assert model.student.training == mode
        assert not any(m.training for m in model.teacher.modules())


def test_teacher_follows(teacher, bank):
    model = build(pair_cfg(teacher, ND, bank)).double()
    values = [*model.teacher.parameters(), *model.parameters()]
    assert {value.dtype for value in values} == {torch.float64}
    feats = model.teacher.extract_feat(torch.rand(1, 3, 64, 64).double())
    rois = torch.tensor([[0, 4.0, 4, 40, 40]])
    embed, logits = model.distill['roi'].look(feats, rois)
    assert embed.dtype == logits.dtype == torch.float64
    model.to('meta')
    assert {p.device.type for p in model.teacher.parameters()} == {'meta'}
    # the teacher's hooks read images through its own preprocessor
    for side in (model, model.student, model.teacher.model):
        assert side.data_preprocessor.device.type == 'meta'


def test_deepcopy_shares_the_teacher(every, batch):
    model = copy.deepcopy(every)
    assert model.teacher is every.teacher
    ours, theirs = model.distill['roi'], every.distill['roi']
    assert ours.teacher is theirs.teacher
    assert (
        ours.tap.points['embed0'][0] is model.student.roi_head.bbox_head.fc_cls
    )
    assert model.data_preprocessor._own['student'] is (
        model.student.data_preprocessor
    )
    for p, q in zip(model.parameters(), every.parameters()):
        assert p is not q
    # and it works: the same losses, of its own weights
    expected = losses_of(copy.deepcopy(every), batch)
    losses = losses_of(model, batch)
    for name in DISTILLED:
        assert torch.equal(losses[name], expected[name]), name
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(0.5)
    assert not torch.equal(
        losses_of(model, batch)['roi.loss_kd'], losses['roi.loss_kd']
    )


def test_gradient_accumulation(teacher, bank, shapes):
    batches = [batch_of(shapes, 0, 1), batch_of(shapes, 2, 3)]
    losses = {**KD, **ND}
    model = build(pair_cfg(teacher, losses, bank))
    other = copy.deepcopy(model)
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    wrapper = OptimWrapper(sgd, accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 2)
    torch.manual_seed(4)
    for i, batch in enumerate(batches):
        model.train_step(copy.deepcopy(batch), wrapper)
        moved = any(
            not torch.equal(p, q)
            for p, q in zip(model.parameters(), other.parameters())
        )
        assert moved == (i == 1)
    torch.manual_seed(4)
    for batch in batches:
        data = other.data_preprocessor(copy.deepcopy(batch), True)
        (total(other, other(**data, mode='loss')) / 2).backward()
    torch.optim.SGD(other.parameters(), 0.1).step()
    for p, q in zip(model.parameters(), other.parameters()):
        torch.testing.assert_close(p, q)


def test_two_distillers(teacher, bank, batch):
    cfg = pair_cfg(teacher, KD)
    second = copy.deepcopy(cfg.distillers.roi)
    second.update(centroids=bank, losses=ND)
    cfg.distillers.again = second
    model = build(cfg)
    losses = losses_of(model, batch)
    assert {'roi.loss_kd', 'again.loss_nd'} <= {*losses}
    assert open_hooks(model, model.teacher) == 0
    check_backward(model, losses)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(distillers=[1]), r'distillers=\[1\]; a dict of name'),
        (dict(distillers=dict(roi='RoIDistiller')), "distillers.roi is 'RoI"),
        (
            dict(distillers=dict(roi=dict(type='RoiDistiler', losses=KD))),
            "distillers.roi is of unknown type 'RoiDistiler'.*did you mean",
        ),
        (
            dict(distillers=dict(roi=dict(type='KDLoss'))),
            "distillers.roi is of the wrong type 'KDLoss'.*RoIDistiller",
        ),
        (
            dict(
                distillers=dict(roi=dict(type='RoIDistiller', losses={}, x=1))
            ),
            "unexpected keyword argument 'x'; accepted are losses, centroids",
        ),
        (
            dict(distillers=dict(roi=dict(type='RoIDistiller'))),
            "missing a required argument: 'losses'",
        ),
        (dict(student='faster_rcnn'), "The student is 'faster_rcnn'"),
        (dict(student=dict(cfg='mmdet::nope')), "config 'mmdet::nope' cannot"),
        (dict(teacher='faster_rcnn'), "The teacher is 'faster_rcnn'"),
    ],
)
def test_wrong_configs(teacher, change, message):
    init_default_scope('mmdet')
    cfg = pair_cfg(teacher)
    for key, value in change.items():
        cfg[key] = value
    with pytest.raises(UserError, match=message):
        MODELS.build(cfg)


def test_another_number_of_classes(teacher):
    init_default_scope('mmdet')
    cfg = pair_cfg(teacher, student=tiny_spec(18, NUM - 1))
    with pytest.raises(
        UserError, match='student has 6 classes, the teacher 7'
    ):
        MODELS.build(cfg)
    assert len(CLASSES) == 7
