"""The bases of classification configs: pipelines, schedules, runtime."""

import copy
import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cifar_toy import write_set
from image_folders import write_cub, write_tiny_imagenet, write_tree
from mmengine.config import Config
from mmengine.registry import (
    DATASETS,
    HOOKS,
    METRICS,
    PARAM_SCHEDULERS,
    DefaultScope,
)
from tiny import spare_time

import kd_det.registry  # noqa: F401  MMCV finds its operators
from kd_det.api import launch
from kd_det.datasets.cifar_files import CIFAR10_LAYOUT, CIFAR100_LAYOUT

BASES = Path(__file__).parents[2] / 'configs/_base_'
SETS = {path.stem: path for path in (BASES / 'datasets').glob('*.py')}
CLASSES = ('dress', 'hat', 'shirt')
# mean and deviation of 0 to 1 pixels
CONSTANTS = {
    'cifar10': ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    'cifar100': ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    'imagenet': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    'cub200': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    'tiny_imagenet': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    'image_folder': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
BATCHES = dict(
    cifar10=64, cifar100=64, tiny_imagenet=128, imagenet=256, cub200=64
)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    """Small sets in the form that each base reads."""
    root = tmp_path_factory.mktemp('sets')
    write_set(root / 'cifar10', CIFAR10_LAYOUT, ['x'] * 10)
    write_set(root / 'cifar100', CIFAR100_LAYOUT, ['x'] * 100)
    write_cub(root / 'cub200')
    write_tiny_imagenet(root / 'tiny_imagenet')
    for split in ('train', 'validation'):
        write_tree(root / 'image_folder' / split, CLASSES)
    for split in ('train', 'val'):
        names = [f'n{number:08}' for number in range(1000)]
        write_tree(root / 'imagenet' / split, names[:1])
        for name in names[1:]:
            (root / 'imagenet' / split / name).mkdir()
    return root


@functools.cache
def read(name):
    return Config.fromfile(SETS[name])


def on(roots, name):
    """The config of a base, reading the small set."""
    cfg = copy.deepcopy(read(name))
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root = f'{roots}/{name}/'
        if name == 'image_folder':
            dataset.metainfo = dict(classes=CLASSES)
    return cfg


@pytest.mark.parametrize('name', CONSTANTS)
def test_data_set(roots, name):
    cfg = on(roots, name)
    sides = dict(cifar10=32, cifar100=32, tiny_imagenet=64, image_folder=112)
    side = sides.get(name, 224)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        assert not loader.get('persistent_workers')  # for an exact resume
        assert loader.sampler.shuffle == (split == 'train')
        dataset = DATASETS.build(loader.dataset)
        sample = dataset[0]
        assert sample['inputs'].shape == (3, side, side)
        assert sample['data_samples'].gt_label.item() < len(dataset.CLASSES)
    assert cfg.train_dataloader.batch_size == BATCHES.get(name, 32)
    for split in ('val', 'test'):
        metric = METRICS.build(cfg[f'{split}_evaluator'])
        assert metric.topk == ((1,) if name == 'image_folder' else (1, 5))


@pytest.mark.parametrize('name', CONSTANTS)
def test_normalisation(name):
    preprocessor = read(name).data_preprocessor
    mean, std = CONSTANTS[name]
    assert np.allclose(preprocessor.mean, np.array(mean) * 255)
    assert np.allclose(preprocessor.std, np.array(std) * 255)
    # CIFAR's arrays are RGB; files are read as BGR
    assert preprocessor.to_rgb != name.startswith('cifar')


@pytest.mark.parametrize('name', ['cifar10', 'cifar100'])
def test_cifar_pipelines(roots, name):
    cfg = on(roots, name)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    seen = set()
    for _ in range(40):
        source = dataset.get_data_info(0)['img'].transpose(2, 0, 1)
        padded = np.zeros((3, 40, 40), np.uint8)
        padded[:, 4:36, 4:36] = source
        result = dataset[0]['inputs'].numpy()
        places = {
            (y, x, flip)
            for flip in (False, True)
            for y in range(9)
            for x in range(9)
            if np.array_equal(
                result[:, :, ::-1] if flip else result,
                padded[:, y : y + 32, x : x + 32],
            )
        }
        assert len(places) == 1
        seen |= places
    assert {flip for _, _, flip in seen} == {False, True}
    assert len({y for y, _, _ in seen}) > 4 < len({x for _, x, _ in seen})
    assert [t.type for t in cfg.val_dataloader.dataset.pipeline] == [
        'PackInputs'
    ]


def rates(path):
    """The learning rate of each epoch."""
    cfg = Config.fromfile(path)
    optimizer = torch.optim.SGD(
        [torch.zeros(1, requires_grad=True)], lr=cfg.optim_wrapper.optimizer.lr
    )
    scheduler = PARAM_SCHEDULERS.build(
        dict(cfg.param_scheduler, optimizer=optimizer)
    )
    seen = []
    for _ in range(cfg.train_cfg.max_epochs):
        seen.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize(
    ('name', 'lr', 'decay', 'nesterov', 'images', 'steps'),
    [
        ('cifar_240e', 0.05, 5e-4, False, 64, (150, 30, 30, 30)),
        ('cifar_240e_nd', 0.1, 5e-4, True, 128, (150, 30, 30, 30)),
        ('cifar_200e_rkd', 0.1, 5e-4, False, 128, (60, 60, 40, 40)),
        (
            'tiny_imagenet_300e',
            *(0.1, 5e-4, False, 128, (60, 60, 40, 40, 50, 50)),
        ),
        ('cub_240e', 0.05, 5e-4, False, 64, (150, 30, 30, 30)),
        ('imagenet_100e', 0.2, 1e-4, False, 512, (30, 30, 30, 10)),
        ('imagenet_100e_nd', 0.2, 1e-4, True, 512, (30, 30, 30, 10)),
    ],
)
def test_schedule(name, lr, decay, nesterov, images, steps):
    path = BASES / f'schedules/{name}.py'
    factor = 0.2 if images == 128 and not nesterov else 0.1
    expected = [
        lr * factor**i for i, epochs in enumerate(steps) for _ in [0] * epochs
    ]
    assert rates(path) == pytest.approx(expected)
    cfg = Config.fromfile(path)
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.type == 'SGD' and optimizer.momentum == 0.9
    assert optimizer.weight_decay == decay
    assert optimizer.get('nesterov', False) == nesterov
    assert cfg.auto_scale_lr.base_batch_size == images
    # the last epoch is validated, and nothing chooses another
    assert cfg.train_cfg.max_epochs % cfg.train_cfg.val_interval == 0


def test_runtime():
    cfg = Config.fromfile(BASES / 'distill_classification_runtime.py')
    hooks = [HOOKS.build(hook) for hook in cfg.custom_hooks]
    assert [type(hook).__name__ for hook in hooks] == [
        'TeacherCheckHook',
        'CentroidHook',
        'FeatureNormHook',
        'GradientShareHook',
        'RandomStateHook',
        'NonFiniteHook',
    ]
    assert hooks[0].metric == 'accuracy/top1' and hooks[0].floor > 1
    saver = HOOKS.build(cfg.default_hooks.checkpoint)
    assert type(saver).__name__ == 'SafeCheckpointHook'
    assert saver.save_best is None


RUN = """
_base_ = [
    '{bases}/datasets/image_folder.py',
    '{bases}/schedules/imagenet_100e.py',
    '{bases}/classification_runtime.py',
]
data_root = '{root}'
classes = {classes}
train_cfg = dict(max_epochs=1)
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR', depth=18, stem_channels=4, base_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=1000, in_channels=32))
"""


def test_a_folder_tree_trains(roots, tmp_path):
    spare_time()
    path = tmp_path / 'run.py'
    root = roots / 'image_folder'
    path.write_text(RUN.format(bases=BASES, root=root, classes=CLASSES))
    cfg = launch.prepare(str(path), str(tmp_path / 'work'))
    launch.train(cfg, seed=0)
    weights = torch.load(tmp_path / 'work/epoch_1.pth', weights_only=False)
    assert weights['state_dict']['head.fc.weight'].shape == (3, 32)
    assert weights['meta']['dataset_meta']['classes'] == CLASSES
    (log,) = (tmp_path / 'work').glob('*/vis_data/scalars.json')
    scores = json.loads(log.read_text().splitlines()[-1])
    assert 0 <= scores['accuracy/top1'] <= 100
    # each image is shown, though the folders have the same names in them
    shown = tmp_path / 'shown'
    checkpoint = str(tmp_path / 'work/epoch_1.pth')
    launch.tester(cfg, checkpoint, show_dir=str(shown)).test()
    assert sorted(path.name for path in shown.iterdir()) == [
        f'{index:06}_{index % 2}.png' for index in range(6)
    ]
