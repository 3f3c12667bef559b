"""Tiny CIFAR networks, a few images on disk, and runs of IE-KD on them."""

import itertools
from pathlib import Path

import torch
from cifar_toy import write_set
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmpretrain.datasets.categories import CIFAR10_CATEGORIES
from mmpretrain.structures import DataSample

from kd_det.api import launch
from kd_det.datasets.cifar_files import CIFAR10_LAYOUT
from kd_det.registry import MODELS
from kd_det.testing import save_teacher

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs/cifar'
CLASSES = tuple(CIFAR10_CATEGORIES)
NUMBERS = itertools.count()
POINT = 'backbone.layer3'
TAPS = dict(student=[POINT], teacher=[POINT])
INHERIT = dict(type='InheritanceLoss', loss_weight=50.0)
EXPLORE = dict(type='ExplorationLoss', loss_weight=50.0)
IE = dict(loss_inh=INHERIT, loss_exp=EXPLORE)


def network(widths=(4, 4, 4, 8), depth=8, **backbone) -> dict:
    """The spec of a small CIFAR ResNet."""
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        data_preprocessor=dict(
            num_classes=10, mean=[127.5] * 3, std=[64.0] * 3
        ),
        backbone=dict(
            type='kd_det.CIFARResNet', depth=depth, widths=widths, **backbone
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=10,
            in_channels=widths[-1],
            loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        ),
    )


def pair(folder: Path, losses=None, **kwargs) -> ConfigDict:
    """The config of a pair with a FactorDistiller, its teacher drawn anew."""
    distiller = dict(
        type='FactorDistiller', losses=losses or IE, channels=4, taps=TAPS
    )
    if losses is None:
        distiller['auto_encoder'] = str(folder / 'ae.pth')
    teacher = save_teacher(
        network((4, 4, 8, 12)), folder / 'teacher.pth', CLASSES
    )
    student = kwargs.pop('student', network())
    return ConfigDict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=teacher,
        student=student,
        distillers=dict(factor=dict(distiller, **kwargs)),
    )


def build(cfg: dict, seed: int = 0):
    """Build and initialise in train mode."""
    init_default_scope('mmpretrain')
    torch.manual_seed(seed)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def batch(count: int = 6, seed: int = 0) -> dict:
    """Images as a loader collates them."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(
        0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8
    )
    samples = [DataSample().set_gt_label(i % 10) for i in range(count)]
    return dict(inputs=list(images), data_samples=samples)


def images(folder: Path, count: int = 4) -> Path:
    """A data root with 5 x count training and count test images."""
    write_set(folder / 'cifar10', CIFAR10_LAYOUT, list(CLASSES), count)
    return folder / 'cifar10'


def run(config: str, work_dir: Path, root: Path, model=None, **changes):
    """Return a shipped config, shrunk, as the tools prepare it."""
    options = {
        'data_root': str(root),
        'train_dataloader.batch_size': 5,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'val_dataloader.batch_size': 4,
        'val_dataloader.num_workers': 0,
        'val_dataloader.persistent_workers': False,
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
        'train_cfg.max_epochs': 2,
        'train_cfg.val_interval': 1,
        'default_hooks.logger.interval': 1,
    }
    options |= {k.replace('__', '.'): v for k, v in changes.items()}
    cfg = launch.prepare(f'{CONFIGS / config}.py', str(work_dir), options)
    if model is not None:
        cfg.model = model
    # else two runs begun in one second share their logger
    cfg.experiment_name = f'ie{next(NUMBERS)}'
    # the teacher is drawn at random: nothing to check
    cfg.custom_hooks = [
        hook for hook in cfg.custom_hooks if 'Teacher' not in hook.type
    ]
    return cfg


def weights(path: Path) -> dict:
    """The state dict in a checkpoint."""
    return torch.load(path, weights_only=False)['state_dict']
