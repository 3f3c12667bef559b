"""A few made-up characters, and runs of the shipped configs on them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from kd_det.api import launch
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS

CONFIGS = Path(__file__).parents[1] / 'configs'
TRIPLET = CONFIGS / 'metric/triplet_resnet18s-64_omniglot.py'
RKD = CONFIGS / 'metric/rkdda_resnet18s-64_conv4s-16_omniglot.py'
SELF = CONFIGS / 'metric/rkdda_resnet18s-64_resnet18s-64_omniglot.py'
EPISODES = CONFIGS / 'fewshot/protonet_conv4s_5w1s_omniglot.py'


def write_characters(root: Path, each: int = 6) -> Path:
    """Two folders of two alphabets of three characters: blots and noise."""
    rng = np.random.default_rng(0)
    for folder in ('one', 'two'):
        for alphabet in ('Greek', 'Korean'):
            for number in range(3):
                place = root / folder / alphabet / f'character{number}'
                place.mkdir(parents=True)
                blot = rng.random((7, 7)) < 0.4
                for k in range(each):
                    cells = blot ^ (rng.random(blot.shape) < 0.25)
                    ink = np.kron(cells, np.ones((15, 15))) > 0
                    paper = Image.fromarray((~ink * 255).astype(np.uint8))
                    paper.convert('1').save(place / f'{k}.png')
    return root


def options(root: Path, **changes) -> dict:
    """Options that make a shipped config a run of a second."""
    small = {
        'data_root': str(root),
        'train_dataloader.dataset.folder': 'one',
        'val_dataloader.dataset.folder': 'two',
        'val_dataloader.dataset.without': ['Greek'],
        'test_dataloader.dataset.folder': 'two',
        'test_dataloader.dataset.without': ['Greek'],
        'train_cfg.max_epochs': 2,
        'train_cfg.val_interval': 2,
        'train_dataloader.batch_size': 8,
        'train_dataloader.batch_sampler.num_batches': 2,
        'default_hooks.logger.interval': 1,
    }
    return {**small, **{k.replace('__', '.'): v for k, v in changes.items()}}


def write_teacher(path: Path, classes: tuple[str, ...] = ()) -> str:
    """Random weights of the network of ``TRIPLET``, learnt from classes."""
    torch.manual_seed(0)
    model = MODELS.build(read_spec(dict(cfg=str(TRIPLET)), 'teacher')[0])
    meta = dict(dataset_meta=dict(classes=classes)) if classes else {}
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


def prepare(config: Path, work_dir: Path, root: Path, teacher=None, **changes):
    """A run's config, as the tools make it."""
    pairs = {'custom_hooks.0.floor': None} if teacher else {}
    return launch.prepare(
        str(config),
        str(work_dir),
        {**options(root, **changes), **pairs},
        teacher,
    )
