"""A cache of the teacher's answers: the same losses, without the teacher."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cifar_toy import write_set
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tiny import NUMBERS

from kd_det import answer_cache
from kd_det.answer_cache import END, AnswerCache
from kd_det.api.launch import prepare
from kd_det.datasets.cifar import CIFAR10
from kd_det.datasets.cifar_files import CIFAR10_LAYOUT
from kd_det.errors import UserError
from kd_det.models.unwrap import unwrap
from kd_det.precompute import answer_cache as precompute
from kd_det.precompute.answer_cache import Plan, cached, check, write_caches
from kd_det.testing import tiny_classifier_pair

LOSSES = dict(
    loss_kd=dict(type='KDLoss', tau=4.0),
    loss_rkd=dict(type='RKDDistanceLoss'),  # of embeddings
)
CROP = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]


@pytest.fixture(scope='module')
def cifar(tmp_path_factory):
    """20 training images."""
    root = tmp_path_factory.mktemp('cifar')
    write_set(root, CIFAR10_LAYOUT, CIFAR10.METAINFO['classes'])
    return root


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Shards of 16 rows, so that 20 images in 2 views have three."""
    monkeypatch.setattr(answer_cache, 'ROWS', 16)
    monkeypatch.setattr(precompute, 'BATCH', 10)


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pair')
    return tiny_classifier_pair(folder, {})


def run_of(pair, cifar, work_dir, losses=LOSSES, **own):
    """A prepared run with a distiller of these arguments."""
    logit = dict(type='LogitDistiller', losses=losses, **own)
    dataset = dict(
        type='kd_det.CIFAR10', data_root=str(cifar), split='train',
        pipeline=CROP,
    )  # fmt: skip
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            experiment_name=f'test{next(NUMBERS)}',
            model=dict(pair, distillers=dict(logit=logit)),
            train_dataloader=dict(
                batch_size=5,
                num_workers=0,
                dataset=dataset,
                sampler=dict(type='DefaultSampler', shuffle=True),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=2),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            default_hooks=dict(checkpoint=None),
            randomness=dict(seed=0),
            log_level='WARNING',
        )
    )
    return prepare(cfg, str(work_dir))


class Losses(Hook):
    """Keep the losses of each step, and whether the teacher ran in it."""

    def before_train(self, runner):
        self.steps, self.runs, self.views = [], 0, []
        teacher = unwrap(runner.model).teacher.model
        teacher.backbone.register_forward_hook(self._count)

    def _count(self, *_):
        self.runs += 1

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.before = self.runs
        samples = data_batch['data_samples']
        self.views.append([sample.view for sample in samples])

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.ran = self.runs - self.before
        self.steps.append([outputs[f'logit.{name}'].item() for name in LOSSES])


def trained(cfg):
    runner = Runner.from_cfg(cfg)
    losses = Losses()
    runner.register_hook(losses)
    runner.train()
    return losses, runner


@pytest.fixture(scope='module')
def cache(tmp_path_factory, cifar, pair):
    """A run with a cache that it makes, and the folder."""
    folder = tmp_path_factory.mktemp('cache') / 'r50'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answer_cache, 'ROWS', 16)
        patch.setattr(precompute, 'BATCH', 10)
        cfg = run_of(
            pair, cifar, folder.parent, cache=dict(folder=str(folder), views=2)
        )
        return *trained(cfg), folder


def test_losses_are_those_of_the_live_teacher(cache, cifar, pair, tmp_path):
    """The same views in the same order; a step does not run the teacher."""
    kept, runner, folder = cache
    cfg = run_of(pair, cifar, tmp_path)
    loader = cfg.train_dataloader
    loader.dataset = dict(
        type='kd_det.SeededViews', dataset=loader.dataset, views=2
    )
    live, other = trained(cfg)
    assert (kept.ran, live.ran) == (0, 1)
    assert kept.views == live.views
    assert {view for step in kept.views for _, view in step} == {0, 1}
    np.testing.assert_allclose(kept.steps, live.steps, rtol=2e-5, atol=1e-6)
    weights = zip(runner.model.parameters(), other.model.parameters())
    for ours, theirs in weights:
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert len([*folder.glob('*.rows')]) == 3
    size = sum(path.stat().st_size for path in folder.glob('*.rows'))
    assert runner.model.distill['logit'].cache.size(20) == size


def test_a_view_is_the_same_again(cache):
    dataset = cache[1].train_dataloader.dataset
    once, again, other = (dataset.view(3, n)['inputs'] for n in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    state = torch.get_rng_state()
    dataset.view(3, 1)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_teacher_that_answers_otherwise(cache):
    (distiller,) = cached(cache[1].model)
    dataset = cache[1].train_dataloader.dataset
    check(distiller, dataset, 5)
    layer = distiller.teacher.model.head.fc
    kept = layer.bias.clone()
    layer.bias += 1
    try:
        with pytest.raises(UserError, match='teacher_logits in the cache'):
            check(distiller, dataset, 5)
    finally:
        layer.bias.copy_(kept)


@pytest.fixture
def copy_of(cache, tmp_path):
    """Open a copy of the cache that was changed."""

    def opened(change, **identity):
        folder = tmp_path / 'copy'
        folder.mkdir()
        for path in cache[2].iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        change(folder)
        own = AnswerCache(str(folder), 2)
        own.fields = dict(cache[1].model.distill['logit'].cache.fields)
        about = json.loads((cache[2] / 'cache.json').read_text())
        return own, own.open({**about, **identity})

    return opened


def nothing(folder):
    pass


def flip(folder):
    path = folder / '000001.rows'
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def cut(folder):
    path = folder / '000001.rows'
    path.write_bytes(path.read_bytes()[:-1])


def swap_key(folder):
    """A shard of another cache, whole in itself."""
    path = folder / '000000.rows'
    content = bytearray(path.read_bytes())
    content[-END : -END // 2] = bytes(END // 2)
    path.write_bytes(content)


def spoil(folder):
    (folder / 'cache.json').write_text('[' * 10**5)


def list_it(folder):
    (folder / 'cache.json').write_text('[1]')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (flip, "000001.rows' is damaged"),
        (cut, 'bytes instead of'),
        (swap_key, 'of another teacher'),
        (spoil, 'is damaged'),
        (list_it, 'is damaged'),
    ],
)
def test_hostile_files(copy_of, change, words):
    with pytest.raises(UserError, match=words) as error:
        copy_of(change)
    assert str(error.value).count('\n') == 0
    assert 'delete' in str(error.value)


@pytest.mark.parametrize(
    ('key', 'words'),
    [
        ('teacher', 'another teacher checkpoint'),
        ('data', 'other training data'),
        ('pipeline', 'another training pipeline'),
        ('preprocessing', 'another preprocessing'),
    ],
)
def test_a_cache_of_something_else(copy_of, key, words):
    with pytest.raises(UserError, match=words):
        copy_of(nothing, **{key: '0' * 64})


def test_a_foreign_shard_without_its_description(copy_of):
    with pytest.raises(UserError, match='of another teacher'):
        copy_of(lambda f: (f / 'cache.json').unlink(), teacher='0' * 64)


def test_only_what_is_missing_is_computed(copy_of, cache):
    own, missing = copy_of(lambda f: (f / '000001.rows').unlink())
    assert missing == [1]
    assert own.rows_of(2) == range(32, 40)


@pytest.mark.parametrize(
    ('own', 'words'),
    [
        (
            dict(losses=dict(loss_s=dict(type='SoftmaxRegressionLoss'))),
            'needs cross_l',
        ),
        (dict(cache='data'), 'is accepted'),
        (dict(cache=dict(folder='x', view=3)), 'is accepted'),
        (dict(cache=dict(folder='x', views=0)), 'views=0'),
    ],
)
def test_what_no_cache_is_for(pair, cifar, tmp_path, own, words):
    cfg = run_of(pair, cifar, tmp_path, **{'cache': dict(folder='x'), **own})
    with pytest.raises(UserError, match=words):
        Runner.from_cfg(cfg)


def test_without_views(cache, cifar, pair, tmp_path):
    """Another program's runner does not give the images their views."""
    own = dict(folder=str(cache[2]), views=2)
    cfg = run_of(pair, cifar, tmp_path, cache=own)
    cfg.train_dataloader.dataset = cfg.train_dataloader.dataset.dataset
    with pytest.raises(UserError, match='start with `kd_det train`'):
        Runner.from_cfg(cfg).train()
    cfg.custom_hooks = []
    with pytest.raises(UserError, match='start with `kd_det train`'):
        Runner.from_cfg(cfg).train()


def test_the_plan(cifar, pair, tmp_path, capsys):
    folder = tmp_path / 'planned'
    own = dict(folder=str(folder), views=2)
    write_caches(run_of(pair, cifar, tmp_path, cache=own), only_plan=True)
    line = capsys.readouterr().out
    assert '2 views of 20 images' in line and '2 epochs' in line
    assert not Path(folder).exists()
    plan = Plan('x', 50_000, 4, 80 * 2**20, 2e-4, 1e-3, 2, 240)
    assert plan.break_even == pytest.approx(4 * (1 + 0.1))
    assert plan.seconds == pytest.approx(220)
    assert plan.pays and '80.0 MiB' in str(plan)
    assert 'leave cache out' in str(replace(plan, epochs=4))
