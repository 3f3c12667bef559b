"""The two stages of IE-KD: by one command, by two, and after a kill."""

import copy
import json
import os

import ie_toy as toy
import pytest
import torch
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner
from tiny import spare_time
from torch.utils.data import BatchSampler

from kd_det.api import launch
from kd_det.connectors.autoencoder_file import load_auto_encoder
from kd_det.datasets.run_data import RunData
from kd_det.errors import UserError
from kd_det.files import sha256_of
from kd_det.losses.reconstruction import reconstruction
from kd_det.precompute import autoencoder
from kd_det.precompute.autoencoder import AutoEncoderStage, train_auto_encoders

CONFIG = 'iekd_resnet56_resnet20_short_cifar10'


@pytest.fixture(scope='module', autouse=True)
def fast():
    spare_time()


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return toy.images(tmp_path_factory.mktemp('data'))


def config(folder, root, work_dir='run', epochs=2, **changes):
    model = toy.pair(folder, split=dict(order='random'))
    cfg = toy.run(CONFIG, folder / work_dir, root, model, **changes)
    types = [hook.type for hook in cfg.custom_hooks]
    cfg.custom_hooks[types.index('kd_det.AutoEncoderHook')].epochs = epochs
    return cfg


def logged(work_dir):
    return [
        json.loads(line)
        for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
        for line in path.read_text().splitlines()
    ]


def log_of(work_dir):
    (log,) = work_dir.glob('*/*.log')
    return log.read_text()


def test_one_command_does_both_stages(tmp_path, root):
    cfg = config(tmp_path, root)
    launch.train(cfg, seed=0)
    file = tmp_path / 'ae.pth'
    _, provenance = load_auto_encoder(file)
    teacher = tmp_path / 'teacher.pth'
    assert provenance['teacher_sha256'] == sha256_of(teacher)
    assert provenance['points'] == [toy.POINT]
    assert (provenance['in_channels'], provenance['channels']) == ([12], [4])
    assert len(provenance['training_sha256']) == 64
    assert provenance['epochs'] == 2 and provenance['reconstruction'] > 0
    assert not (tmp_path / 'ae.pth.partial').exists()
    lines = logged(tmp_path / 'run')
    train = [line for line in lines if 'factor.loss_exp' in line]
    assert len(train) == 8
    assert all(-6.25 <= line['factor.loss_exp'] < 0 for line in train)
    text = log_of(tmp_path / 'run')
    assert 'is missing and will be trained: epochs=2 over' in text
    assert 'is reused' not in text
    assert 'Auto-encoder: epoch 2 of 2, step 8 of 8' in text
    assert '0:00 left' in text
    state = toy.weights(tmp_path / 'run/epoch_2.pth')
    assert 'distill.factor.split.inherit0' in state
    assert not any('decoder' in key for key in state)
    # the same file serves the next run
    before = file.stat().st_mtime_ns
    launch.train(config(tmp_path, root, 'again', epochs=5), seed=0)
    assert file.stat().st_mtime_ns == before
    text = log_of(tmp_path / 'again')
    assert 'is reused (epochs=2, lr=0.1, p=1, seed=0, reconst' in text
    assert 'the config has epochs=5: delete the file' in text


def test_tool_does_stage_1_alone(tmp_path, root):
    cfg = config(tmp_path, root, epochs=1)
    (path,) = train_auto_encoders(copy.deepcopy(cfg))
    assert load_auto_encoder(path)[1]['epochs'] == 1
    assert not (tmp_path / 'run').exists()
    # and the hook would have made the same
    one = load_auto_encoder(path)[0]
    os.remove(path)
    launch.train(config(tmp_path, root, epochs=1), seed=4)
    other = load_auto_encoder(path)[0]
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


def test_stage_1_leaves_the_run_as_it_is(tmp_path, root):
    """Stage 1 within the command or before it: the same student."""
    launch.train(config(tmp_path, root, 'within'), seed=0)
    launch.train(config(tmp_path, root, 'before'), seed=0)
    one, other = (
        toy.weights(tmp_path / name / 'epoch_2.pth')
        for name in ('within', 'before')
    )
    assert 'is reused' in log_of(tmp_path / 'before')
    assert 'delete the file' not in log_of(tmp_path / 'before')
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


@pytest.mark.parametrize('workers', [0, 2])
def test_interrupted_stage_1_goes_on(tmp_path, root, monkeypatch, workers):
    """Exactly, also where worker processes augment."""
    changes = {'train_dataloader__num_workers': workers}
    cfg = config(tmp_path, root, epochs=3, **changes)
    cfg.train_dataloader.persistent_workers = workers > 0
    (path,) = train_auto_encoders(copy.deepcopy(cfg))
    whole = load_auto_encoder(path)[0]
    os.remove(path)
    keep = autoencoder.keep

    def killed(file, asked, epoch, *rest):
        keep(file, asked, epoch, *rest)
        if epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(autoencoder, 'keep', killed)
        with pytest.raises(KeyboardInterrupt):
            train_auto_encoders(copy.deepcopy(cfg))
    assert not os.path.exists(path) and os.path.exists(f'{path}.partial')
    epochs = []
    monkeypatch.setattr(
        autoencoder,
        'keep',
        lambda *a: (epochs.append(a[2]), keep(*a)),
    )
    train_auto_encoders(copy.deepcopy(cfg))
    assert epochs == [3]
    for key, value in load_auto_encoder(path)[0].items():
        assert torch.equal(value, whole[key]), key


def test_what_was_begun_with_other_settings_is_begun_anew(tmp_path, root):
    cfg = config(tmp_path, root, epochs=1)
    torch.save(
        dict(asked={}, epoch=1, state_dict={}), tmp_path / 'ae.pth.partial'
    )
    (path,) = train_auto_encoders(cfg)
    assert load_auto_encoder(path)[1]['reconstruction'] > 0


def test_teacher_in_half_precision(tmp_path, root):
    """Both stages: an auto-encoder computes in single precision."""
    cfg = config(tmp_path, root, epochs=1)
    cfg.model.teacher.dtype = 'bfloat16'
    launch.train(cfg, seed=0)
    state = load_auto_encoder(tmp_path / 'ae.pth')[0]
    assert {v.dtype for v in state.values() if v.is_floating_point()} == {
        torch.float32
    }


def test_what_cannot_end_well_is_not_begun(tmp_path, root, monkeypatch):
    """No epoch before it is known where the file is to be."""
    monkeypatch.setattr(autoencoder, 'keep', lambda *_: pytest.fail('began'))
    cfg = config(tmp_path, root)
    (tmp_path / 'file').write_text('')
    cfg.model.distillers.factor.auto_encoder = str(tmp_path / 'file/ae.pth')
    with pytest.raises(UserError, match='cannot be written'):
        launch.train(cfg, seed=0)
    cfg = config(tmp_path, root)
    other = copy.deepcopy(cfg.model.distillers.factor)
    cfg.model.distillers.other = dict(other, channels=5)
    with pytest.raises(UserError, match='factor and distillers.other both'):
        train_auto_encoders(cfg)
    assert not (tmp_path / 'ae.pth.partial').exists()


def test_stage_2_alone_is_refused_before_its_first_step(tmp_path, root):
    cfg = config(tmp_path, root)
    cfg.custom_hooks = [
        hook for hook in cfg.custom_hooks if 'AutoEncoder' not in hook.type
    ]
    with pytest.raises(UserError, match='ae.pth.*which does not exist'):
        launch.train(cfg, seed=0)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('content', [b'PK', None])
def test_a_damaged_state_is_told(tmp_path, root, content):
    """Of no epoch, or of weights that the settings do not have."""
    cfg = config(tmp_path, root, epochs=1)
    partial = tmp_path / 'ae.pth.partial'
    distiller = toy.build(cfg.model).distill.factor
    stage = AutoEncoderStage(epochs=1)
    asked = dict(
        distiller.identity(),
        training_sha256=RunData(cfg).train.sha256,
        **stage.settings,
    )
    if content is None:
        torch.save(dict(asked=asked, state_dict={}), partial)
    else:
        partial.write_bytes(content)
    with pytest.raises(UserError, match='delete.* start again'):
        stage.provide(distiller, cfg)


def test_no_batch_is_told(tmp_path, root):
    changes = dict(
        train_dataloader__drop_last=True, train_dataloader__batch_size=50
    )
    with pytest.raises(UserError, match='20 samples, batch_size=50'):
        train_auto_encoders(config(tmp_path, root, **changes))


def test_maps_that_are_not_finite_are_told(tmp_path, root):
    cfg = config(tmp_path, root)
    cfg.model.teacher.exact = True
    distiller = toy.build(cfg.model).distill.factor
    weight = distiller.teacher.model.backbone.layer3[0].bn2.weight
    weight.data[0] = float('nan')
    with pytest.raises(UserError, match='maps hold NaN or infinity'):
        AutoEncoderStage(epochs=1).provide(distiller, cfg)
    assert not [*tmp_path.glob('ae.pth*')]


@DATA_SAMPLERS.register_module(force=True)
class BatchesOfTests(BatchSampler):
    """As mmdet's batch samplers: the sampler is within."""

    orders = []

    def __iter__(self):
        batches = [*super().__iter__()]
        self.orders.append([index for batch in batches for index in batch])
        return iter(batches)


def test_every_epoch_has_an_order_of_its_own(tmp_path, root):
    cfg = config(tmp_path, root)
    cfg.train_dataloader.batch_sampler = dict(
        type='BatchesOfTests', drop_last=False
    )
    train_auto_encoders(cfg)
    one, other = BatchesOfTests.orders
    assert one != other and sorted(one) == sorted(other) == [*range(20)]


def test_a_sampler_without_end(tmp_path, root):
    """As loops that count iterations have it."""
    cfg = config(tmp_path, root, epochs=1)
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    (path,) = train_auto_encoders(cfg)
    assert load_auto_encoder(path)[1]['epochs'] == 1


def test_other_data_are_refused(tmp_path, root):
    train_auto_encoders(config(tmp_path, root, epochs=1))
    changes = {'train_dataloader__dataset__indices': 10}
    cfg = config(tmp_path, root, epochs=1, **changes)
    # the tool does not say to use the tool: the file is in its way
    with pytest.raises(UserError, match='other training data .*delete it'):
        launch.train(cfg, seed=0)


def test_without_hook_and_file_nothing_begins(tmp_path, root):
    cfg = config(tmp_path, root)
    cfg.custom_hooks = []
    with pytest.raises(UserError, match='which does not exist: train it'):
        launch.train(cfg, seed=0)
    assert not (tmp_path / 'run').exists()


def test_resumed_run_is_the_run(tmp_path, root):
    whole = config(tmp_path, root, 'whole')
    launch.train(whole, seed=0)
    part = config(tmp_path, root, 'part')
    part.train_cfg.max_epochs = 2
    launch.train(part, seed=0)
    resumed = config(tmp_path, root, 'resumed')
    launch.train(resumed, seed=0, resume=str(tmp_path / 'part/epoch_1.pth'))
    one, other = (
        toy.weights(tmp_path / name / 'epoch_2.pth')
        for name in ('whole', 'resumed')
    )
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


def test_auto_encoder_learns(tmp_path, root):
    """After some epochs it makes fewer errors than at the start."""
    cfg = config(tmp_path, root)
    cfg.model.distillers.factor.channels = 12
    model = toy.build(cfg.model).eval()
    distiller = model.distill.factor
    stage = AutoEncoderStage(epochs=25, lr=0.05, p=2)
    stage.provide(distiller, cfg)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    data = distiller.teacher.model.data_preprocessor(next(iter(loader)))
    maps, masks = distiller.teacher_maps(data['inputs'], data['data_samples'])
    error = reconstruction(distiller.auto_encoder(maps), maps, masks, p=2)
    nothing = reconstruction([m * 0 for m in maps], maps, masks, p=2)
    assert error < 0.6 * nothing
    found = load_auto_encoder(distiller.auto_encoder_file)[1]
    assert found['reconstruction'] < 0.6 * nothing


@pytest.mark.parametrize(
    'wrong',
    [
        dict(epochs=0),
        dict(epochs=1.5),
        dict(epochs=True),
        dict(lr=0),
        dict(lr='0.1'),
        dict(lr=float('inf')),
        dict(p=3),
        dict(seed='x'),
    ],
)
def test_refusals(wrong):
    with pytest.raises(UserError, match='accepted'):
        AutoEncoderStage(**wrong)


def test_a_config_without_auto_encoder_is_told(tmp_path, root):
    at = dict(loss_at=dict(type='AttentionTransferLoss'))
    cfg = toy.run(CONFIG, tmp_path / 'run', root, toy.pair(tmp_path, at))
    with pytest.raises(UserError, match='has an auto-encoder'):
        train_auto_encoders(cfg)
    cfg = toy.run('baseline_resnet20_short_cifar10', tmp_path / 'run', root)
    with pytest.raises(UserError, match='has no teacher'):
        train_auto_encoders(cfg)
