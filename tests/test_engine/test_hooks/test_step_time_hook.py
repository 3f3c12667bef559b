"""The time of each part of a step, in real runs of which one part is slow."""

import re
import time

import ie_toy as toy
import pytest
from engine_toy import Kill, Killed
from mmengine.hooks import Hook
from share_toy import run
from tiny import open_hooks, spare_time

from kd_det.api import launch
from kd_det.engine.hooks.step_time_hook import NAMES, STEPS, cost_line
from kd_det.engine.run_record import load_record

PARTS = ('preprocessing', 'student', 'teacher', 'losses', 'backward')
SLOW = 0.2  # seconds; nothing else in these steps takes so long


@pytest.fixture(scope='module', autouse=True)
def fast():
    spare_time()


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return toy.images(tmp_path_factory.mktemp('data'))


class Slow(Hook):
    """Let one part of the measured steps sleep."""

    def __init__(self, part):
        self.part = part

    def before_train(self, runner):
        model = runner.model
        if self.part == 'backward':
            weight = next(model.student.parameters())
            weight.register_hook(lambda _: self.sleep(runner))
            return
        module = dict(
            preprocessing=model.data_preprocessor,
            student=model.student,
            teacher=model.teacher.model.backbone,
            losses=model.distill.logit.losses.loss_kd,
        )[self.part]
        module.register_forward_hook(lambda *_: self.sleep(runner))

    def sleep(self, runner):
        if runner.iter + 1 in STEPS:
            time.sleep(SLOW)


def trained(tmp_path, root, epochs, *hooks, resume=None):
    """Four steps an epoch; return the record."""
    changes = dict(train_cfg__max_epochs=epochs)
    cfg = run(tmp_path, root, None, changes=changes)
    cfg.custom_hooks = [*cfg.custom_hooks, *hooks]
    runner = launch.train(cfg, seed=0, resume=resume)
    left = open_hooks(runner.model, runner.model.teacher)
    # of ours, none; one of a backward pass is none of a module
    assert left == len([h for h in hooks if h.get('part') in PARTS[:-1]])
    return load_record(tmp_path / 'run')


@pytest.mark.parametrize('part', PARTS[:-1])
def test_the_slow_part_is_found(tmp_path, root, part):
    record = trained(tmp_path, root, 3, dict(type=Slow, part=part))
    seconds = record['step_seconds']
    assert {*seconds} == {*PARTS}
    for name, value in seconds.items():
        assert (value >= SLOW) == (name == part), name
        assert value >= 0


def test_backward_and_what_a_resume_keeps(tmp_path, root):
    slow = dict(type=Slow, part='backward')
    with pytest.raises(Killed):
        trained(tmp_path, root, 6, slow, dict(type=Kill, before=22))
    # from step 20 on, where nothing is slow or measured
    seconds = trained(tmp_path, root, 6, resume='auto')['step_seconds']
    for name, value in seconds.items():
        assert (value >= SLOW) == (name == 'backward'), name


def test_a_short_run_measures_nothing(tmp_path, root):
    assert 'step_seconds' not in trained(tmp_path, root, 2)
    assert not costs(tmp_path)


def costs(folder):
    """The lines on it in the log of the run."""
    (log,) = (folder / 'run').glob('*/*.log')
    lines = log.read_text().splitlines()
    return [line for line in lines if 'A training step takes' in line]


def test_one_line_in_the_log(tmp_path, root):
    record = trained(tmp_path, root, 6)
    (line,) = costs(tmp_path)
    shares = dict(re.findall(r'([a-z][a-z ]+) (\d+)%', line))
    assert [*shares] == ['data', *(NAMES.get(part, part) for part in PARTS)]
    assert 95 <= sum(map(int, shares.values())) <= 105  # rounded
    step = sum(record['step_seconds'].values())
    for part, seconds in record['step_seconds'].items():
        share = int(shares[NAMES.get(part, part)])
        assert share <= round(100 * seconds / step)


def test_shares_of_a_step():
    """By hand; a run without MMEngine's timer does not know the data."""
    parts = dict(student=1.0, losses=0.25, backward=0.75)
    assert cost_line(parts, []) == (
        'A training step takes 2 s: student 50%, connectors and losses 12%, '
        'backward and optimiser 38%.'
    )
    assert cost_line(parts, [0.1, 2.0, 3.0]) == (
        'A training step takes 4 s: data 50%, student 25%, connectors and '
        'losses 6%, backward and optimiser 19%.'
    )


def test_a_model_without_teacher(tmp_path, root):
    cfg = toy.run(
        'baseline_resnet8_short_cifar10',
        tmp_path / 'run',
        root,
        train_cfg__max_epochs=3,
        val_cfg=None,
        val_dataloader=None,
        val_evaluator=None,
    )
    launch.train(cfg, seed=0)
    seconds = load_record(tmp_path / 'run')['step_seconds']
    assert {*seconds} == {'preprocessing', 'student', 'backward'}
    assert min(seconds.values()) > 0
