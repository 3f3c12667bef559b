"""Gradient shares in a run: logged, warned of, and losses rescaled once."""

import json
import math

import ie_toy as toy
import pytest
import share_toy
import torch
from engine_toy import Kill, Killed
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from share_toy import HOOK, KEYS, LOSSES, run
from tiny import spare_time

from kd_det.api import launch
from kd_det.engine.hooks import GradientShareHook
from kd_det.errors import UserError
from kd_det.precompute.gradient_shares import step_shares

EVERY = dict(HOOK, steps=(1, 4, 6))
NAMES = ('logit.kd', 'factor.inh', 'factor.exp')


@pytest.fixture(scope='module', autouse=True)
def fast():
    spare_time()


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return toy.images(tmp_path_factory.mktemp('data'))


def auto(**kwargs):
    """The losses, KD to be rescaled after the third step."""
    wanted = dict(dict(share=0.5, step=3), **kwargs)
    return dict(LOSSES, loss_kd=dict(LOSSES['loss_kd'], auto_weight=wanted))


def trained(cfg, resume=None):
    """Train; return the last checkpoint."""
    launch.train(cfg, seed=0, resume=resume)
    return state(cfg.work_dir)


def state(work_dir, epoch=2):
    return torch.load(f'{work_dir}/epoch_{epoch}.pth', weights_only=False)


def same(first, second):
    """Weights, buffers, the optimiser and the random numbers."""

    def leaves(tree):
        if isinstance(tree, dict):
            return [x for k in tree for x in leaves(tree[k])]
        if isinstance(tree, (list, tuple)):
            return [x for part in tree for x in leaves(part)]
        return [tree]

    for part in ('state_dict', 'optimizer', 'random_state'):
        pairs = [*zip(leaves(first[part]), leaves(second[part]), strict=True)]
        assert pairs
        for one, other in pairs:
            if isinstance(one, torch.Tensor):
                assert torch.equal(one, other), part
            else:
                assert one == other, part


def logged(work_dir):
    """Name -> the values in the order of the lines."""
    found = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in map(json.loads, path.read_text().splitlines()):
            for key, value in line.items():
                found.setdefault(key, []).append(value)
    return found


class Watch(Hook):
    """Measures every step, beside the hook that is tested."""

    priority = 'LOW'

    def __init__(self):
        self.shares = []

    def before_train(self, runner):
        runner.model.register_forward_hook(
            lambda model, args, output: self.shares.append(
                step_shares(model, output)
            )
        )


def watched(cfg):
    """Run with the losses of every step measured; return those."""
    watch = Watch()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(watch)
    runner.train()
    return runner, watch.shares


def warnings_of(cfg, monkeypatch):
    runner = Runner.from_cfg(cfg)
    lines = []
    monkeypatch.setattr(runner.logger, 'warning', lines.append)
    runner.train()
    return [line for line in lines if 'the gradient of' in line]


def test_the_run_is_as_without_it(tmp_path, root):
    """Weights, BN statistics, optimiser and generators, bit for bit."""
    plain = trained(run(tmp_path, root, None, 'plain'))
    measured = trained(run(tmp_path, root, EVERY, 'measured'))
    same(plain, measured)
    assert logged(tmp_path / 'measured')['logit.kd_grad_norm']


def test_what_is_logged(tmp_path, root):
    """The values of the steps, under names that MMEngine does not add up."""
    cfg = run(tmp_path, root, EVERY)
    cfg.randomness = dict(seed=0)
    runner, shares = watched(cfg)
    for key in KEYS:
        name = f'logit.{key.removeprefix("logit.loss_")}'
        for what in ('norm', 'share', 'cosine'):
            buffer = runner.message_hub.get_scalar(f'train/{name}_grad_{what}')
            values, _ = buffer.data
            assert 'loss' not in f'{name}_grad_{what}'
            expected = [getattr(shares[s - 1][key], what) for s in (1, 4, 6)]
            assert values.tolist() == pytest.approx(expected, rel=1e-6)
    # in the log at their own steps
    (path,) = tmp_path.glob('run/*/vis_data/scalars.json')
    lines = map(json.loads, path.read_text().splitlines())
    own = [e for e in lines if 'iter' not in e and 'time' not in e]
    assert [entry['step'] for entry in own] == [1, 4, 6]
    assert own[2]['logit.kd_grad_share'] == pytest.approx(
        shares[5]['logit.loss_kd'].share, rel=1e-6
    )


def test_steps_between_cost_nothing(tmp_path, root, monkeypatch):
    calls = []
    monkeypatch.setattr(
        'kd_det.engine.hooks.gradient_share_hook.step_shares',
        lambda *args, **kwargs: calls.append(args) or {},
    )
    launch.train(run(tmp_path, root, EVERY), seed=0)
    assert len(calls) == 3


def test_one_warning_whose_weight_gives_the_share(tmp_path, root, monkeypatch):
    losses = dict(
        loss_fm=dict(type='FeatureMatchingLoss', loss_weight=0.1),
        loss_kd=dict(type='KDLoss', loss_weight=200.0),
    )
    hook = dict(HOOK, steps=(1, 2), target=0.25)

    def cfg(losses, name, hook=hook):
        return run(tmp_path, root, hook, name, losses=losses)

    first = cfg(losses, 'first')
    first.randomness = dict(seed=0)
    (line,) = warnings_of(first, monkeypatch)
    assert line.startswith('At step 2 ') and 'logit.loss_kd' in line
    assert 'loss_fm' not in line
    share = float(line.split(' is ')[1].split(' times')[0])
    weight = float(line.split('loss_weight=')[1].split(' ')[0])
    assert share > 2 and weight == pytest.approx(200 * 0.25 / share, 0.01)
    assert 'would make it 0.25 times' in line
    # at step 1 both begin alike: there the weight can be tried
    one = dict(hook, steps=(1,))
    again = cfg(losses, 'again', one)
    again.randomness = dict(seed=0)
    (line,) = warnings_of(again, monkeypatch)
    losses['loss_kd']['loss_weight'] = float(
        line.split('loss_weight=')[1].split(' ')[0]
    )
    tried = cfg(losses, 'tried', one)
    tried.randomness = dict(seed=0)
    _, shares = watched(tried)
    assert shares[0]['logit.loss_kd'].share == pytest.approx(0.25, rel=0.01)


def test_a_run_shorter_than_the_steps_warns_at_its_end(
    tmp_path, root, monkeypatch
):
    losses = dict(loss_kd=dict(type='KDLoss', loss_weight=200.0))
    cfg = run(tmp_path, root, dict(HOOK, steps=(3, 200)), losses=losses)
    (line,) = warnings_of(cfg, monkeypatch)
    assert line.startswith('At step 3 ')


def test_a_loss_that_teaches_nothing(tmp_path, root, monkeypatch):
    losses = dict(loss_rkd=dict(type='RKDDistanceLoss'))
    hook = dict(HOOK, steps=(1, 2), limit=1e9)
    cfg = run(tmp_path, root, hook, losses=losses)
    assert not warnings_of(cfg, monkeypatch)
    cfg = run(tmp_path, root, hook, 'pairs', losses=losses)
    cfg.train_dataloader.batch_size = 2  # one distance, relative to itself
    (line,) = warnings_of(cfg, monkeypatch)
    assert 'the gradient of logit.loss_rkd was 0' in line
    assert 'three samples' in line


def test_a_loss_is_rescaled_once(tmp_path, root):
    """After step 3 the factor is 0.5 over the share that was there."""
    cfg = run(tmp_path, root, EVERY, losses=auto())
    cfg.randomness = dict(seed=0)
    runner, shares = watched(cfg)
    factor = runner.model.distill.logit.losses.loss_kd.factor
    share = shares[2]['logit.loss_kd'].share
    assert factor == pytest.approx(0.5 / share, rel=1e-6)
    assert not math.isclose(factor, 1, rel_tol=0.1)
    key = 'distill.logit.losses.loss_kd.auto_weight.factor'
    assert state(cfg.work_dir)['state_dict'][key].item() == factor
    # as in a run by hand, until the rescaled loss has moved a weight
    plain = run(tmp_path, root, EVERY, 'plain')
    plain.randomness = dict(seed=0)
    _, before = watched(plain)
    for step in range(3):
        assert shares[step] == before[step]
    assert shares[3]['logit.loss_kd'].share == pytest.approx(
        factor * before[3]['logit.loss_kd'].share, rel=1e-5
    )
    assert shares[3]['logit.loss_fm'] == before[3]['logit.loss_fm']


def test_the_dumped_config_repeats_the_run_unmeasured(
    tmp_path, root, monkeypatch
):
    first = trained(run(tmp_path, root, EVERY, losses=auto()))
    (path,) = (tmp_path / 'run').glob('*.py')
    written = Config.fromfile(path).model.distillers.logit.losses.loss_kd
    assert written.auto_weight.factor != 1
    assert written.loss_weight == 0.9
    cfg = launch.prepare(str(path), str(tmp_path / 'repeat'))
    cfg.experiment_name = 'repeat'
    cfg.custom_hooks[-1].steps = (8,)  # where nothing is rescaled
    calls = []
    monkeypatch.setattr(
        'kd_det.engine.hooks.gradient_share_hook.step_shares',
        lambda *args, **kwargs: calls.append(args) or {},
    )
    same(first, trained(cfg))
    assert len(calls) == 1


@pytest.mark.parametrize('before', [2, 6])
def test_resume_is_exact(tmp_path, root, before):
    """Killed before the step that rescales, and after it."""

    def cfg(name='killed'):
        cfg = run(tmp_path, root, EVERY, name, losses=auto())
        cfg.default_hooks.checkpoint.interval = 1
        cfg.default_hooks.checkpoint.by_epoch = False
        cfg.default_hooks.checkpoint.max_keep_ckpts = 1
        cfg.randomness = dict(seed=0)
        return cfg

    launch.train(cfg('straight'), seed=0)
    straight = torch.load(tmp_path / 'straight/iter_8.pth', weights_only=False)
    runner = Runner.from_cfg(cfg())
    runner.register_hook(Kill(before))
    with pytest.raises(Killed):
        runner.train()
    launch.train(cfg(), seed=0, resume='auto')
    resumed = torch.load(tmp_path / 'killed/iter_8.pth', weights_only=False)
    same(straight, resumed)
    (path,) = (tmp_path / 'killed').glob('*.py')
    written = Config.fromfile(path).model.distillers.logit.losses.loss_kd
    key = 'distill.logit.losses.loss_kd.auto_weight.factor'
    assert written.auto_weight.factor == straight['state_dict'][key].item()


def test_weights_begun_from_a_checkpoint_have_no_factor_yet(tmp_path, root):
    trained(run(tmp_path, root, EVERY, 'first', losses=auto()))
    cfg = run(tmp_path, root, EVERY, 'second', losses=auto())
    cfg.load_from = str(tmp_path / 'first/epoch_2.pth')
    runner, shares = watched(cfg)
    loss = runner.model.distill.logit.losses.loss_kd
    assert loss.factor == pytest.approx(
        0.5 / shares[2]['logit.loss_kd'].share, rel=1e-6
    )


def schedule(**kwargs):
    return dict(
        type='kd_det.LossScheduleHook',
        schedules=dict(logit=dict(loss_kd=dict(by_epoch=False, **kwargs))),
    )


def test_a_schedule_counts_at_its_full_weight(tmp_path, root):
    """At a third of the way up the share is a third of the full one."""
    cfg = run(tmp_path, root, EVERY, losses=auto())
    cfg.custom_hooks.append(schedule(type='WarmUp', epochs=6))
    runner, shares = watched(cfg)
    full = shares[2]['logit.loss_kd'].share / (2 / 6)
    loss = runner.model.distill.logit.losses.loss_kd
    assert loss.factor == pytest.approx(0.5 / full, rel=1e-5)


def stopped(cfg):
    with pytest.raises(UserError) as caught:
        launch.train(cfg, seed=0)
    return str(caught.value)


def test_a_schedule_without_weight_at_the_step(tmp_path, root):
    cfg = run(tmp_path, root, EVERY, losses=auto())
    cfg.custom_hooks.append(schedule(type='Stop', begin=2))
    message = stopped(cfg)
    assert (
        'auto_weight of logit.loss_kd cannot be computed at step 3' in message
    )
    assert 'its schedule gives the loss zero weight there' in message


def test_a_gradient_of_zero(tmp_path, root):
    losses = auto()
    losses['loss_kd']['loss_weight'] = 0.0
    message = stopped(run(tmp_path, root, EVERY, losses=losses))
    assert 'the norm of its gradient is 0.0' in message


def test_a_gradient_that_is_not_finite(tmp_path, root):
    losses = auto(step=1)
    losses['loss_kd']['loss_weight'] = 1e39
    cfg = run(tmp_path, root, EVERY, losses=losses)
    cfg.custom_hooks = [h for h in cfg.custom_hooks if 'Non' not in h['type']]
    message = stopped(cfg)
    assert 'the norm of its gradient is' in message


def test_a_step_behind_the_end(tmp_path, root):
    message = stopped(run(tmp_path, root, EVERY, losses=auto(step=9)))
    assert 'auto_weight at step 9, and the run has 8 steps' in message


def test_auto_weight_without_the_hook(tmp_path, root):
    message = stopped(run(tmp_path, root, None, losses=auto()))
    assert "add dict(type='kd_det.GradientShareHook')" in message


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (0, 'loss_kd: auto_weight: share=0; a finite number above 0'),
        (-1.0, 'share=-1.0; a finite number above 0'),
        (math.nan, 'share=nan; a finite number above 0'),
        (True, 'share=True; a finite number above 0'),
        ('half', "share='half'; a finite number above 0"),
        (dict(share=0.5, step=0), 'step=0; an integer, 1 or above'),
        (dict(share=0.5, factor=0), 'factor=0; a finite number above 0'),
        (dict(target=0.5), 'dict(share=0.5, step=100) is accepted'),
    ],
)
def test_arguments_of_auto_weight(tmp_path, wrong, message):
    losses = dict(loss_kd=dict(type='KDLoss', auto_weight=wrong))
    with pytest.raises(UserError) as caught:
        toy.build(share_toy.pair(tmp_path, losses))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(steps='all'), 'a list of integers, 1 or above'),
        (dict(steps=()), 'a list of integers, 1 or above'),
        (dict(steps=(0, 20)), 'a list of integers, 1 or above'),
        (dict(target=0), 'target=0; a finite number above 0'),
        (dict(limit=-2), 'limit=-2; a finite number above 0'),
    ],
)
def test_arguments_of_the_hook(wrong, message):
    with pytest.raises(UserError, match=message):
        GradientShareHook(**wrong)


def test_peers_are_measured_each(tmp_path, root):
    """One after the other; what trains an auto-encoder alone is left out."""
    cfg = toy.run(
        'iedml_resnet56_resnet20_short_cifar10', tmp_path / 'a', root
    )
    cfg.model.peers = dict(a=toy.network(), b=toy.network((4, 4, 8, 12)))
    cfg.model.distillers.factor.channels = 4
    cfg.custom_hooks.append(dict(HOOK, steps=(2,)))
    runner = Runner.from_cfg(cfg)
    runner.train()
    shares = {
        key.removeprefix('train/').removesuffix('_grad_share')
        for key in runner.message_hub.log_scalars
        if key.endswith('_grad_share')
    }
    found = {f'{peer}.{name}' for peer in 'ab' for name in NAMES}
    assert shares == found
    cfg = cfg.copy()
    for distiller in cfg.model.distillers.values():
        for loss in distiller.losses.values():
            loss.auto_weight = 0.5
    cfg.work_dir = str(tmp_path / 'b')
    assert 'which is not supported for peers' in stopped(cfg)


def test_factors_of_halves_are_measured(tmp_path, root):
    """IE-KD: one half turns to the teacher, the other away from it."""
    cfg = toy.run(
        'iekd_resnet56_resnet20_short_cifar10',
        tmp_path / 'run',
        root,
        toy.pair(tmp_path),
    )
    cfg.custom_hooks = [
        dict(h, epochs=1) if 'AutoEncoder' in h.type else h
        for h in cfg.custom_hooks
        if 'Share' not in h.type
    ]
    cfg.custom_hooks.append(dict(HOOK, steps=(2,)))
    launch.train(cfg, seed=0)
    lines = logged(tmp_path / 'run')
    for name in ('inh', 'exp'):
        assert lines[f'factor.{name}_grad_share'][0] > 0


def test_a_model_without_distillation_is_left_alone(tmp_path, root):
    cfg = toy.run('baseline_resnet20_short_cifar10', tmp_path / 'run', root)
    cfg.model = toy.network()
    cfg.custom_hooks.append(dict(HOOK, steps=(1,)))
    launch.train(cfg, seed=0)
    assert not [k for k in logged(tmp_path / 'run') if '_grad_' in k]
