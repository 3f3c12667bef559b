"""A killed and resumed run against one that was never interrupted."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from engine_toy import Kill, Killed
from mmengine.config import Config
from mmengine.dataset import worker_init_fn
from mmengine.hooks import Hook
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner, loops
from torch.utils.data import DataLoader, RandomSampler

from kd_det.checkpoint import load_checkpoint
from kd_det.datasets import SHAPES_CLASSES
from kd_det.random_state import seed_worker
from kd_det.testing import tiny_pair, tiny_run

BY_EPOCH = dict(type='CheckpointHook', interval=1)
BY_ITER = dict(type='CheckpointHook', interval=3, by_epoch=False)
EPOCHS = dict(by_epoch=True, max_epochs=4)  # of 4 iterations
ITERS = dict(by_epoch=False, max_iters=16, val_interval=5)
INFINITE = dict(type='InfiniteSampler', shuffle=True)
ASPECT = dict(batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'))
WORKERS = dict(num_workers=2, persistent_workers=False)


@DATA_SAMPLERS.register_module()
class GlobalShuffle(RandomSampler):
    """Torch's own sampler: it shuffles by the global generator."""

    def __init__(self, dataset, seed=None):
        super().__init__(dataset)


class Trace(Hook):
    """Write down what the hooks are told of each step."""

    def __init__(self):
        self.steps = []

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ):
        paths = [s.img_path for s in data_batch['data_samples']]
        last = self.end_of_epoch(runner.train_dataloader, batch_idx)
        self.steps.append((runner.epoch, runner.iter, batch_idx, last, paths))


def flat(value):
    """Return the leaves of nested dicts and lists."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in flat(item)]
    return [value]


def same(first, second):
    """Are weights, buffers and optimiser states equal to the last bit?"""
    states = [
        flat([r.model.state_dict(), r.optim_wrapper.state_dict()])
        for r in (first, second)
    ]
    assert len(states[0]) == len(states[1]) > 20
    return all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        for a, b in zip(*states)
    )


def compare(make_runner, kill, hook=True, **kwargs):
    """Return both runners and their traces; one was killed on its way."""
    hooks = [dict(type='kd_det.RandomStateHook')] if hook else []
    traces = [Trace(), Trace(), Trace()]
    straight = make_runner('straight', hooks=[*hooks, traces[0]], **kwargs)
    straight.train()
    killed = make_runner(
        'killed', hooks=[*hooks, Kill(kill), traces[1]], **kwargs
    )
    with pytest.raises(Killed):
        killed.train()
    del killed
    resumed = make_runner(
        'killed', hooks=[*hooks, traces[2]], resume=True, **kwargs
    )
    resumed.train()
    return straight, resumed, traces


CASES = dict(
    epoch=(10, dict(checkpoint=BY_EPOCH, train=EPOCHS)),
    epoch_val=(10, dict(checkpoint=BY_EPOCH, train=EPOCHS, scores=[])),
    # killed in validation's shadow: best is saved while validating
    epoch_best=(
        9,
        dict(
            checkpoint=dict(BY_EPOCH, save_best='acc', rule='greater'),
            train=EPOCHS,
            scores=[0.1, 0.2, 0.3, 0.4],
        ),
    ),
    middle=(11, dict(checkpoint=BY_ITER, train=EPOCHS, scores=[])),
    # iteration 12 ends the third epoch: only validation is left of it
    epoch_end_by_iter=(13, dict(checkpoint=BY_ITER, train=EPOCHS, scores=[])),
    middle_aspect=(
        11,
        dict(checkpoint=BY_ITER, train=EPOCHS, loader=ASPECT),
    ),
    middle_global=(
        11,
        dict(
            checkpoint=BY_ITER,
            train=EPOCHS,
            sampler=dict(type='GlobalShuffle'),
        ),
    ),
    iters=(11, dict(checkpoint=BY_ITER, train=ITERS, sampler=INFINITE)),
    iters_val=(
        11,
        dict(checkpoint=BY_ITER, train=ITERS, sampler=INFINITE, scores=[]),
    ),
    iters_aspect=(
        11,
        dict(checkpoint=BY_ITER, train=ITERS, sampler=INFINITE, loader=ASPECT),
    ),
    # passes of 4 iterations: 9 is within one, 12 the end of one
    iters_finite=(11, dict(checkpoint=BY_ITER, train=ITERS)),
    iters_pass_end=(13, dict(checkpoint=BY_ITER, train=ITERS)),
    workers=(10, dict(checkpoint=BY_EPOCH, train=EPOCHS, loader=WORKERS)),
)


@pytest.mark.parametrize('case', CASES)
def test_a_killed_run_continues_bit_identically(
    make_runner, case, monkeypatch
):
    monkeypatch.setattr(loops.time, 'sleep', lambda seconds: None)
    if 'aspect' in case:
        pytest.importorskip('mmdet.datasets')
    kill, kwargs = CASES[case]
    straight, resumed, traces = compare(make_runner, kill, **kwargs)
    assert resumed.iter == straight.iter == 16
    assert same(straight, resumed)
    # hooks saw the same images and the same numbers
    first, _, rest = (trace.steps for trace in traces)
    assert 0 < len(rest) < len(first)
    assert rest == first[-len(rest) :]


@pytest.mark.parametrize(
    'case', ['epoch', 'epoch_val', 'middle', 'iters', 'workers']
)
def test_without_the_hook_it_does_not(make_runner, case):
    kill, kwargs = CASES[case]
    straight, resumed, _ = compare(make_runner, kill, hook=False, **kwargs)
    assert not same(straight, resumed)


def test_a_resume_can_be_resumed(make_runner):
    hooks = [dict(type='kd_det.RandomStateHook')]
    kwargs = dict(checkpoint=dict(BY_ITER, interval=1), train=EPOCHS)
    straight = make_runner('straight', hooks=hooks, **kwargs)
    straight.train()
    for step, kill in enumerate((2, 3, 7, 8, 14)):
        runner = make_runner(
            'killed',
            hooks=[*hooks, Kill(kill)],
            resume=step > 0,
            **kwargs,
        )
        with pytest.raises(Killed):
            runner.train()
    resumed = make_runner('killed', hooks=hooks, resume=True, **kwargs)
    resumed.train()
    assert same(straight, resumed)


@pytest.mark.parametrize('case', ['middle', 'middle_aspect', 'iters'])
def test_a_run_that_was_given_no_seed(make_runner, case):
    """Each process draws a seed; the second must take the first one's."""
    kwargs = dict(
        CASES[case][1], hooks=[dict(type='kd_det.RandomStateHook')], seed=None
    )
    straight = make_runner('straight', **kwargs)
    straight.train()
    path = f'{straight.work_dir}/iter_9.pth'
    resumed = make_runner('other', resume=True, load_from=path, **kwargs)
    assert resumed.seed != straight.seed
    resumed.train()
    assert same(straight, resumed)


def test_it_changes_nothing_in_a_run_without_validation(make_runner):
    plain = make_runner('plain')
    plain.train()
    hooked = make_runner('hooked', hooks=[dict(type='kd_det.RandomStateHook')])
    hooked.train()
    assert same(plain, hooked)


def test_validation_does_not_disturb_training(make_runner):
    hooks = [dict(type='kd_det.RandomStateHook')]
    without = make_runner('without', hooks=hooks)
    without.train()
    validated = make_runner('validated', hooks=hooks, scores=[])
    validated.train()
    assert same(without, validated)


def test_fine_tuning_takes_weights_but_no_random_state(make_runner):
    hooks = [dict(type='kd_det.RandomStateHook')]
    first = make_runner('first', hooks=hooks, checkpoint=BY_EPOCH)
    first.train()
    path = f'{first.work_dir}/epoch_1.pth'
    runs = []
    for name, own in (('with', hooks), ('without', [])):
        trace = Trace()
        runs.append(make_runner(name, hooks=[*own, trace], load_from=path))
        runs[-1].train()
        assert len(trace.steps) == 16
    assert same(*runs)


def test_the_checkpoint_loads_with_pickle_execution_off(make_runner):
    runner = make_runner(
        hooks=[dict(type='kd_det.RandomStateHook')], checkpoint=BY_ITER
    )
    runner.train()
    state = load_checkpoint(f'{runner.work_dir}/iter_6.pth')['random_state']
    assert state['position'] == 2
    assert len(state['ranks']) == 1


@pytest.fixture
def warnings(monkeypatch):
    """Return what a Runner's logger warns of."""

    def listen(runner):
        heard = []
        monkeypatch.setattr(runner.logger, 'warning', heard.append)
        return heard

    return listen


def test_a_checkpoint_of_a_run_without_it_is_told(make_runner, warnings):
    killed = make_runner(hooks=[Kill(6)], checkpoint=BY_EPOCH)
    with pytest.raises(Killed):
        killed.train()
    resumed = make_runner(
        hooks=[dict(type='kd_det.RandomStateHook')], resume=True
    )
    heard = warnings(resumed)
    resumed.train()
    assert [text for text in heard if 'without RandomStateHook' in text]


def test_another_number_of_ranks_is_told(make_runner, warnings):
    hooks = [dict(type='kd_det.RandomStateHook')]
    killed = make_runner(hooks=[*hooks, Kill(6)], checkpoint=BY_EPOCH)
    with pytest.raises(Killed):
        killed.train()
    path = f'{killed.work_dir}/epoch_1.pth'
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['random_state']['ranks'] *= 2
    torch.save(checkpoint, path)
    resumed = make_runner(hooks=hooks, resume=True)
    heard = warnings(resumed)
    resumed.train()
    assert [text for text in heard if '2 ranks, but this run has 1' in text]


class KillAtOnce(Hook):
    """End the run before the workers start."""

    def before_train_epoch(self, runner):
        raise Killed


@pytest.mark.parametrize(
    'persistent,train,told',
    [(True, EPOCHS, True), (False, EPOCHS, False), (False, ITERS, True)],
)
def test_long_lived_workers_are_told(
    make_runner, warnings, persistent, train, told
):
    runner = make_runner(
        hooks=[dict(type='kd_det.RandomStateHook'), KillAtOnce()],
        loader=dict(num_workers=1, persistent_workers=persistent),
        train=train,
    )
    heard = warnings(runner)
    with pytest.raises(Killed):
        runner.train()
    assert any('will not be exact' in text for text in heard) == told
    # MMEngine's own seeds would be those of the first epoch for ever
    assert runner.train_dataloader.worker_init_fn.func is seed_worker


class Draws(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return random.random(), np.random.rand(), torch.rand(()).item()


def test_workers_are_seeded_by_epoch_worker_and_rank():
    def draws(rank, epochs=2):
        torch.manual_seed(5)
        mmengine = partial(worker_init_fn, num_workers=2, rank=rank, seed=3)
        loader = DataLoader(
            Draws(),
            batch_size=None,
            num_workers=2,
            worker_init_fn=partial(seed_worker, init=mmengine, rank=rank),
        )
        return [torch.tensor(list(loader)) for _ in range(epochs)]

    first = draws(rank=0)
    assert all(torch.equal(a, b) for a, b in zip(first, draws(rank=0)))
    # 2 ranks x 2 epochs x 4 images x 3 generators: no number comes twice
    both = torch.stack([*first, *draws(rank=1)])
    assert both.unique().numel() == both.numel()


def test_a_real_pair_continues_bit_identically(shapes, tmp_path, monkeypatch):
    """A detector pair, killed in the middle of its epoch of 6 steps."""
    # formatting the config for every checkpoint would take longer than all
    monkeypatch.setattr(Config, 'pretty_text', '')
    model = tiny_pair(
        tmp_path,
        dict(
            losses=dict(
                loss_sifn=dict(type='SIFNLoss', num_classes=7),
                loss_kd=dict(type='KDLoss'),
            )
        ),
    )

    def build(name, hooks=(), resume=False):
        cfg = tiny_run(
            model, shapes, tmp_path / name, SHAPES_CLASSES, max_epochs=2
        )
        cfg.train_dataloader.batch_sampler = dict(
            type='AspectRatioBatchSampler'
        )
        cfg.default_hooks = dict(
            checkpoint=dict(
                type='kd_det.SafeCheckpointHook', by_epoch=False, interval=3
            )
        )
        cfg.custom_hooks = [dict(type='kd_det.RandomStateHook'), *hooks]
        cfg.experiment_name = f'{tmp_path.name}_{name}_{resume}'
        cfg.resume = resume
        return Runner.from_cfg(cfg)

    straight = build('straight')
    straight.train()
    killed = build('killed', [dict(type=Kill, before=5)])
    with pytest.raises(Killed):
        killed.train()
    resumed = build('killed', resume=True)
    resumed.train()
    assert same(straight, resumed)
