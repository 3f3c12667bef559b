"""Runs of peers by the shipped configs: files, scores, resume."""

import json

import ie_toy as toy
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from tiny import spare_time

from kd_det.api import launch
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.registry import HOOKS, MODELS

CONFIG = 'iedml_resnet56_resnet20_short_cifar10'


@pytest.fixture(scope='module', autouse=True)
def fast():
    spare_time()


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return toy.images(tmp_path_factory.mktemp('data'))


def config(work_dir, root, **changes):
    cfg = toy.run(CONFIG, work_dir, root, **changes)
    cfg.model.peers = dict(
        resnet20=toy.network(), resnet56=toy.network((4, 4, 8, 12), 14)
    )
    cfg.model.distillers.factor.channels = 4
    cfg.model.distillers.factor.split = dict(order='random')
    return cfg


def test_run_keeps_every_peer_as_a_plain_model(tmp_path, root):
    launch.train(config(tmp_path / 'run', root), seed=0)
    run = tmp_path / 'run'
    whole = toy.weights(run / 'epoch_2.pth')
    specs = dict(
        resnet20=toy.network(), resnet56=toy.network((4, 4, 8, 12), 14)
    )
    init_default_scope('mmpretrain')
    for name, spec in specs.items():
        content = torch.load(run / f'{name}.pth', weights_only=True)
        assert content['meta']['dataset_meta']['classes'] == toy.CLASSES
        MODELS.build(spec).load_state_dict(content['state_dict'], strict=True)
        prefix = '' if name == 'resnet20' else f'distill.peers.{name}.'
        for key, value in content['state_dict'].items():
            assert torch.equal(value, whole[prefix + key]), key
    lines = [
        json.loads(line)
        for path in run.glob('*/vis_data/scalars.json')
        for line in path.read_text().splitlines()
    ]
    last = lines[-1]
    for prefix in ('', 'resnet56/'):
        assert f'{prefix}accuracy/top1' in last
        assert last[f'{prefix}eval/cross_entropy'] > 0
    assert 'resnet20.factor.loss_exp' in lines[0]
    # as a test by the tools finds it
    cfg = config(tmp_path / 'test', root)
    scores = launch.tester(cfg, str(run / 'epoch_2.pth')).test()
    assert scores['eval/cross_entropy'] == pytest.approx(
        last['eval/cross_entropy'], rel=1e-5
    )


def test_a_schedule_holds_for_every_peer(tmp_path, root):
    cfg = config(tmp_path / 'run', root)
    never = dict(loss_kd=dict(type='Stop', begin=0))
    schedule = dict(
        type='kd_det.LossScheduleHook', schedules=dict(logit=never)
    )
    cfg.custom_hooks = [*cfg.custom_hooks, schedule]
    launch.train(cfg, seed=0)
    (path,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    line = json.loads(path.read_text().splitlines()[0])
    for peer in ('resnet20', 'resnet56'):
        assert line[f'{peer}.logit.loss_kd'] == 0
        assert line[f'{peer}.factor.loss_inh'] > 0


def test_resumed_run_is_the_run(tmp_path, root):
    launch.train(config(tmp_path / 'whole', root), seed=0)
    cfg = config(tmp_path / 'resumed', root)
    file = str(tmp_path / 'whole/epoch_1.pth')
    launch.train(cfg, seed=5, resume=file)
    one, other = (
        toy.weights(tmp_path / name / 'epoch_2.pth')
        for name in ('whole', 'resumed')
    )
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


def test_refused_before_the_first_step(tmp_path, root):
    """Nothing is left of a run that could not have been."""
    cfg = config(tmp_path / 'run', root)
    del cfg.optim_wrapper['constructor']
    with pytest.raises(UserError, match='there is a single one'):
        launch.train(cfg, seed=0)
    assert not (tmp_path / 'run').exists()


def test_classes_reach_every_peer(tmp_path, root):
    path = f'{toy.CONFIGS}/{CONFIG}.py'
    cfg = launch.prepare(path, str(tmp_path), dict(classes=('x', 'y')))
    assert [p.num_classes for p in cfg.model.peers.values()] == [2, 2]
    assert cfg.model.classes == ('x', 'y')
    assert 'data_preprocessor' not in cfg
    for spec in cfg.model.peers.values():
        model, _ = read_spec(spec, 'peer')
        assert model.data_preprocessor.num_classes == 2
        assert model.head.num_classes == 2


def test_hook_is_for_peers(tmp_path, root):
    cfg = toy.run(
        'baseline_resnet20_short_cifar10',
        tmp_path,
        root,
        toy.network(),
    )
    cfg.custom_hooks = [dict(type='kd_det.PeerHook')]
    runner = Runner.from_cfg(cfg)
    with pytest.raises(UserError, match='is for a MutualModel'):
        runner.train()
    assert HOOKS.build(dict(type='kd_det.PeerHook'))
