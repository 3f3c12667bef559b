"""What kd_det promises, shown on real detectors in MMEngine's own Runner."""

import hashlib

import pytest
import torch
from mmdet.apis import init_detector
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.checkpoint import get_state_dict, get_torch_safe_globals
from tiny import (
    CLASSES,
    KD,
    ND,
    NUM,
    TASK,
    build,
    open_hooks,
    pair_cfg,
    run_cfg,
    tiny_spec,
)

from kd_det.models.spec import read_spec
from kd_det.testing import save_teacher

EPOCHS = 9  # of 6 steps
ZERO = {name: dict(cfg, loss_weight=0.0) for name, cfg in {**KD, **ND}.items()}
SIFN = dict(loss_sifn=dict(type='SIFNLoss', num_classes=NUM + 1))


class Record(Hook):
    """Keep the losses of every step."""

    def __init__(self):
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.steps.append({k: v.item() for k, v in outputs.items()})


def student():
    """Batch norm is trained: nothing but the student may move it."""
    spec = tiny_spec()
    spec['backbone'].update(norm_eval=False)
    return spec


def train(model, shapes, folder, epochs=EPOCHS):
    """Train some epochs; return the losses of each step and the Runner."""
    cfg = run_cfg(model, shapes, folder, train_cfg__max_epochs=epochs)
    cfg.default_hooks = dict(
        checkpoint=dict(type='CheckpointHook', interval=99, save_last=False)
    )
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = Runner.from_cfg(cfg)
    record = Record()
    runner.register_hook(record)
    runner.train()
    assert len(record.steps) == 6 * epochs
    return record.steps, runner


@pytest.fixture(scope='module')
def alone(shapes, teacher, tmp_path_factory):
    """The student alone, as plain mmdet trains it."""
    model, _ = read_spec(student(), 'student')
    steps, runner = train(model, shapes, tmp_path_factory.mktemp('alone'))
    assert type(runner.model).__name__ == 'FasterRCNN'
    return steps, get_state_dict(runner.model)


def test_zero_weights_train_as_without_a_teacher(
    alone, shapes, teacher, bank, tmp_path
):
    """Task losses of each step and the weights after 54, bit by bit."""
    model = pair_cfg(teacher, ZERO, bank, student())
    steps, runner = train(model, shapes, tmp_path)
    for step, (ours, theirs) in enumerate(zip(steps, alone[0])):
        for name in (*TASK, 'acc', 'loss'):
            assert ours[name] == theirs[name], (step, name)
        assert all(ours[f'roi.{name}'] == 0 for name in ZERO)
    state = get_state_dict(runner.model)
    assert {*state} == {*alone[1]}
    for key, value in alone[1].items():
        assert torch.equal(state[key], value), key


def test_a_connector_that_draws_leaves_the_student_alone(
    alone, shapes, teacher, tmp_path
):
    """Its dropout does not shift what the student draws: the RoIs."""
    zero = dict(loss_norm=dict(type='NormLoss', loss_weight=0.0))
    model = pair_cfg(teacher, zero, student=student())
    model.distillers.roi.connectors = dict(
        student_embed=dict(type='EmbeddingAdaptor')
    )
    steps, _ = train(model, shapes, tmp_path, 1)
    for step, (ours, theirs) in enumerate(zip(steps, alone[0])):
        for name in (*TASK, 'acc', 'loss'):
            assert ours[name] == theirs[name], (step, name)


def test_distilling_leaves_the_first_task_losses_alone(
    alone, shapes, teacher, bank, tmp_path
):
    model = pair_cfg(teacher, {**KD, **ND}, bank, student())
    steps, _ = train(model, shapes, tmp_path, 1)
    first, second = steps[:2]
    for name in (*TASK, 'acc'):
        assert first[name] == alone[0][0][name], name
    assert first['roi.loss_nd'] > 0 and first['roi.loss_kd'] > 0
    assert first['loss'] > alone[0][0]['loss']
    # and it does something: the second step is another one
    assert any(second[name] != alone[0][1][name] for name in TASK)


def digest(*modules):
    sha = hashlib.sha256()
    for module in modules:
        for name, value in [
            *module.named_parameters(),
            *module.named_buffers(),
        ]:
            sha.update(name.encode())
            sha.update(value.detach().numpy().tobytes())
    return sha.hexdigest()


class Trained:
    """One epoch of distillation, validated, saved."""

    def __init__(self, shapes, teacher, bank, folder):
        self.model = pair_cfg(teacher, {**KD, **ND, **SIFN}, bank, student())
        self.cfg = run_cfg(self.model, shapes, folder)
        self.runner = Runner.from_cfg(self.cfg)
        self.pair = self.runner.model
        self.before = digest(self.pair.teacher)
        self.student_before = digest(self.pair.student)
        self.runner.train()
        self.path = f'{folder}/epoch_1.pth'
        self.checkpoint = torch.load(self.path, weights_only=False)
        plain, _ = read_spec(student(), 'student')
        self.plain = run_cfg(plain, shapes, f'{folder}/plain')


@pytest.fixture(scope='module')
def trained(shapes, teacher, bank, tmp_path_factory):
    return Trained(shapes, teacher, bank, tmp_path_factory.mktemp('trained'))


def test_checkpoint_loads_in_plain_mmdet(trained):
    """No conversion, no missing key, and the same boxes."""
    detector = init_detector(trained.plain, trained.path, device='cpu')
    state = trained.checkpoint['state_dict']
    own = {k: v for k, v in state.items() if not k.startswith('distill.')}
    assert not any(detector.load_state_dict(own, strict=True))
    assert detector.dataset_meta['classes'] == CLASSES
    pair = trained.pair.eval()
    found = 0
    for batch in trained.runner.val_dataloader:
        for ours, theirs in zip(
            pair.val_step(batch), detector.test_step(batch)
        ):
            ours, theirs = ours.pred_instances, theirs.pred_instances
            assert torch.equal(ours.bboxes, theirs.bboxes)
            assert torch.equal(ours.scores, theirs.scores)
            assert torch.equal(ours.labels, theirs.labels)
            found += len(ours)
    assert found > 0


def test_checkpoint_alone_gives_every_weight(trained):
    """A detector with other weights becomes the student."""
    detector = init_detector(trained.plain, trained.path, device='cpu')
    expected = get_state_dict(trained.pair.student)
    state = get_state_dict(detector)
    assert {*state} == {*expected}
    for key, value in state.items():
        assert torch.equal(value, expected[key]), key
    assert digest(trained.pair.student) != trained.student_before


def test_checkpoint_needs_no_code_to_load(trained):
    """By MMEngine's own list, without its fall-back to execution."""
    with torch.serialization.safe_globals(get_torch_safe_globals()):
        checkpoint = torch.load(trained.path, weights_only=True)
    assert {*checkpoint} >= {'state_dict', 'meta', 'optimizer'}


def test_teacher_is_in_no_checkpoint_and_no_optimiser(trained):
    state = trained.checkpoint['state_dict']
    assert not any('teacher' in key for key in state)
    theirs = {v.data_ptr() for v in trained.pair.teacher.state_dict().values()}
    assert not theirs & {v.data_ptr() for v in trained.pair.parameters()}
    groups = trained.runner.optim_wrapper.optimizer.param_groups
    learnt = [p for group in groups for p in group['params']]
    assert not theirs & {p.data_ptr() for p in learnt}
    student = [p for p in trained.pair.student.parameters()]
    assert len(learnt) == len(student)
    slots = trained.checkpoint['optimizer']['state']
    assert 0 < len(slots) <= len(student)
    # as large as the student's own, but for SIFN's 8 numbers
    own = trained.pair.student.state_dict()
    extra = {*state} - {*own}
    assert extra == {'distill.roi.losses.loss_sifn.previous_norms'}


def test_teacher_is_as_it_was(trained):
    pair = trained.pair
    assert digest(pair.teacher) == trained.before
    pair.train()
    assert pair.student.training
    assert not any(m.training for m in pair.teacher.modules())
    for p in pair.teacher.parameters():
        assert p.grad is None and not p.requires_grad


def test_no_hook_is_left_open(trained):
    assert open_hooks(trained.pair, trained.pair.teacher) == 0


def test_training_goes_on_from_a_checkpoint(trained, shapes, tmp_path):
    """Resume loads the student, the optimiser and SIFN's memory."""
    cfg = run_cfg(trained.model, shapes, tmp_path, train_cfg__max_epochs=2)
    cfg.load_from, cfg.resume = trained.path, True
    runner = Runner.from_cfg(cfg)
    record = Record()
    runner.register_hook(record)
    seen = {}

    class Look(Hook):
        def before_train_epoch(self, runner):
            seen.update(epoch=runner.epoch, state=get_state_dict(runner.model))
            seen['state'] = {k: v.clone() for k, v in seen['state'].items()}

    runner.register_hook(Look(), 'LOWEST')
    runner.train()
    assert seen['epoch'] == 1 and len(record.steps) == 6
    for key, value in trained.checkpoint['state_dict'].items():
        assert torch.equal(value, seen['state'][key]), key
    assert (
        not seen['state']['distill.roi.losses.loss_sifn.previous_norms']
        .isnan()
        .all()
    )


def test_a_student_trained_alone_can_begin_a_distillation(
    trained, teacher, shapes, tmp_path
):
    cfg = run_cfg(pair_cfg(teacher, student=student()), shapes, tmp_path)
    cfg.load_from = trained.path
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume()
    assert digest(runner.model.student) == digest(trained.pair.student)


@pytest.mark.parametrize('update_buffers', [False, True])
def test_averaged_student(shapes, teacher, bank, tmp_path, update_buffers):
    """EMAHook averages the student, shares the teacher, saves the average."""
    ema = dict(type='EMAHook', momentum=0.5, update_buffers=update_buffers)
    model = pair_cfg(teacher, {**KD, **ND}, bank, student())
    cfg = run_cfg(model, shapes, tmp_path)
    cfg.custom_hooks = [ema]
    runner = Runner.from_cfg(cfg)
    runner.train()
    (average,) = (h.ema_model for h in runner.hooks if hasattr(h, 'ema_model'))
    pair = runner.model
    assert average.module.teacher is pair.teacher
    checkpoint = torch.load(f'{tmp_path}/epoch_1.pth', weights_only=False)
    for name in ('state_dict', 'ema_state_dict'):
        assert not any('teacher' in key for key in checkpoint[name])
    # the file's weights are the averages, under the student's own keys
    averages = dict(average.module.student.named_parameters())
    current = dict(pair.student.named_parameters())
    moved = 0
    for key, value in averages.items():
        assert torch.equal(checkpoint['state_dict'][key], value), key
        moved += not torch.equal(value, current[key])
    assert moved > 50
    plain, _ = read_spec(student(), 'student')
    detector = init_detector(
        run_cfg(plain, shapes, tmp_path / 'plain'),
        f'{tmp_path}/epoch_1.pth',
        device='cpu',
    )
    for key, value in detector.named_parameters():
        assert torch.equal(value, averages[key]), key
    # and training goes on from there
    cfg = run_cfg(model, shapes, tmp_path, train_cfg__max_epochs=2)
    cfg.custom_hooks, cfg.resume = [ema], True
    again = Runner.from_cfg(cfg)
    again.train()
    assert again.epoch == 2 and again.iter == 12


def test_a_pair_without_hooks_of_ours(shapes, tmp_path):
    """Nothing but the model is needed: mmdet's own tools train it."""
    teacher = save_teacher(tiny_spec(50), tmp_path / 'teacher.pth')
    steps, runner = train(pair_cfg(teacher), shapes, tmp_path, 1)
    assert all(step['roi.loss_kd'] > 0 for step in steps)
    assert isinstance(runner.model, type(build(pair_cfg(teacher))))
