"""The weights of ``kd_det calibrate``, tried in a run."""

import io
from statistics import median

import ie_toy as toy
import pytest
import rich.progress
import share_toy
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from tiny import spare_time

from kd_det import progress
from kd_det.api import launch
from kd_det.cli import main
from kd_det.errors import UserError
from kd_det.precompute.calibration import (
    Calibration,
    calibrate,
    calibrate_config,
    write_child,
)
from kd_det.precompute.gradient_shares import step_shares


@pytest.fixture(scope='module', autouse=True)
def fast():
    spare_time()


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return toy.images(tmp_path_factory.mktemp('data'))


def config(tmp_path, root, **kwargs):
    return share_toy.run(tmp_path, root, **kwargs)


class Still(Hook):
    """The shares of the first steps, whose updates are left out."""

    def __init__(self, count):
        self.count, self.shares = count, []

    def before_train(self, runner):
        runner.optim_wrapper.update_params = lambda loss: None
        runner.model.register_forward_hook(
            lambda model, args, output: self.shares.append(
                step_shares(model, output)
            )
        )


def measured(path, work_dir, count):
    cfg = launch.prepare(str(path), str(work_dir))
    cfg.randomness = dict(seed=0)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(still := Still(count))
    runner.train()
    return still.shares[:count]


def test_the_written_weights_give_the_target(
    tmp_path, root, monkeypatch, capsys
):
    """Of the student as it begins, on the same three batches."""
    monkeypatch.chdir(tmp_path)
    losses = dict(
        share_toy.LOSSES,
        loss_kd=dict(type='KDLoss', loss_weight=0.9, auto_weight=0.1),
    )
    config(tmp_path, root, losses=losses).dump('pair.py')
    words = 'pair.py --target 0.25 --steps 0 --batches 3 --out mine/child.py'
    main('calibrate', words.split())
    printed = capsys.readouterr().out
    assert 'Wrote mine/child.py' in printed and 'weight for 0.25' in printed
    child = Config.fromfile('mine/child.py')
    written = child.model.distillers.logit.losses
    assert written.loss_kd.auto_weight is None
    assert child._cfg_dict.model.distillers.logit.connectors
    for name, loss in written.items():
        (line,) = (x for x in printed.splitlines() if f'logit.{name}' in x)
        assert line.split()[-1] == f'{loss.loss_weight:g}'
        assert loss.loss_weight not in (3.0, 0.9)
    shares = measured('mine/child.py', 'tried', 3)
    for key in share_toy.KEYS:
        found = [step[key].share for step in shares]
        assert median(found) == pytest.approx(0.25, rel=0.006)  # 3 digits
        assert min(found) < max(found)
    assert not (tmp_path / 'work_dirs').exists()


def test_the_copy_trains_with_losses_at_the_target(tmp_path, root):
    """Of two steps; a loss a thousand times as large gives the same weight."""
    weights = []
    for factor in (1, 1000):
        losses = {
            name: dict(loss, loss_weight=factor * loss['loss_weight'])
            for name, loss in share_toy.LOSSES.items()
        }
        cfg = config(tmp_path, root, losses=losses)
        cfg.randomness = dict(seed=0)
        # nothing moves before the first measurement has set the weights
        cfg.param_scheduler = dict(
            type='LinearLR', start_factor=1e-9, end=1, by_epoch=False
        )
        found = calibrate(cfg, steps=4, batches=2)
        weights.append([one.weight for one in found.values()])
        for one in found.values():
            assert one.low <= one.share <= one.high
            assert one.weight == pytest.approx(
                0.5 * one.given / one.share, rel=0.006
            )
    assert weights[0] == pytest.approx(weights[1], rel=0.02)
    begun = calibrate(config(tmp_path, root), steps=0, batches=2)
    assert weights[0] != pytest.approx(
        [one.weight for one in begun.values()], rel=0.02
    )


def test_progress(tmp_path, root, monkeypatch, capsys):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=70)
    monkeypatch.setattr(progress, 'get_console', lambda: console)
    monkeypatch.setattr(rich.progress, 'get_console', lambda: console)
    calibrate(config(tmp_path, root), steps=1, batches=2)
    begun = 'Training a temporary copy for 1 step, then measuring 2 batches.'
    assert begun in capsys.readouterr().out.splitlines()
    assert 'Calibration' in file.getvalue() and '100%' in file.getvalue()


@pytest.mark.parametrize(
    'out', ['child.py', 'new/child.py', 'link/child.py', 'link/new/child.py']
)
def test_a_child_finds_its_base_by_any_name(tmp_path, root, out):
    (tmp_path / 'far/real').mkdir(parents=True)
    (tmp_path / 'link').symlink_to('far/real')
    base = tmp_path / """it's a "base" \\N{x}.py"""
    cfg = config(tmp_path, root)
    cfg.dump(base)
    cfg = Config.fromfile(base)
    found = {'logit.loss_kd': Calibration(1.0, 1.0, 1.0, 1.0, 0.0, 7.0)}
    write_child(cfg, str(tmp_path / out), found, 0.5)
    for name in (tmp_path / out, (tmp_path / out).resolve()):
        child = Config.fromfile(name)
        assert child.model.distillers.logit.losses.loss_kd.loss_weight == 7
        assert child.model.teacher == cfg.model.teacher
    relative = str(tmp_path) not in (tmp_path / out).read_text()
    assert relative == ('link' not in out)


def test_class_means_are_made_first(tmp_path):
    root = toy.images(tmp_path, 20)  # of every class
    file = tmp_path / 'bank.npz'
    losses = dict(loss_nd=dict(type='NDLoss'))
    student = toy.network((4, 4, 8, 12))  # as wide as the teacher
    cfg = config(tmp_path, root, losses=losses, student=student)
    cfg.model.distillers.logit.centroids = str(file)
    cfg.custom_hooks.append(dict(type='kd_det.CentroidHook'))
    (one,) = calibrate(cfg, steps=1, batches=1).values()
    assert file.is_file() and one.share > 0


def test_inheritance_alone_has_no_weight(tmp_path, root):
    cfg = config(tmp_path, root)
    cfg.model.distillers = dict()
    assert 'there is no weight to calibrate' in refused(cfg)


def refused(cfg, **kwargs):
    with pytest.raises(UserError) as caught:
        calibrate(cfg, **dict(dict(steps=1, batches=1), **kwargs))
    return str(caught.value)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(target=0), 'target=0; a finite number above 0'),
        (dict(target=-0.5), 'target=-0.5; a finite number above 0'),
        (dict(steps=-1), 'steps=-1; an integer, 0 or above'),
        (dict(batches=0), 'batches=0; an integer, 1 or above'),
        (
            dict(steps=7, batches=2),
            '9 steps are needed to measure, but the training has 8',
        ),
    ],
)
def test_arguments(tmp_path, root, wrong, message):
    assert message in refused(config(tmp_path, root), **wrong)


def test_no_batch(tmp_path, root):
    cfg = config(tmp_path, root)
    cfg.train_dataloader.batch_size = 32
    cfg.train_dataloader.drop_last = True
    assert 'the training has 0;' in refused(cfg)


def test_losses_without_a_gradient(tmp_path, root):
    losses = dict(loss_kd=dict(type='KDLoss', loss_weight=0.0))
    cfg = config(tmp_path, root, losses=losses)
    assert 'logit.loss_kd has loss_weight=0' in refused(cfg)
    losses['loss_kd']['loss_weight'] = 1e39
    cfg = config(tmp_path, root, losses=losses)
    assert 'not finite in 1 of 1 batches' in refused(cfg)


def test_a_model_without_a_teacher(tmp_path, root):
    cfg = toy.run('baseline_resnet20_short_cifar10', tmp_path / 'run', root)
    assert 'is a ImageClassifier; use a config of a kd_det' in refused(cfg)


def test_names_of_the_child(tmp_path, root):
    path = tmp_path / 'pair.py'
    config(tmp_path, root).dump(path)
    cfg = launch.prepare(str(path))
    for out, message in (
        ('child.txt', 'must end in .py'),
        (str(path), 'is the base config itself'),
        (f'{path}/child.py', 'is a file, not a folder'),
    ):
        with pytest.raises(UserError, match=message):
            calibrate_config(cfg, out=out)
