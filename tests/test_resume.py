"""A killed distillation, resumed by the tool, ends as if never killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from kd_det.checkpoint import load_checkpoint
from kd_det.datasets import SHAPES_CLASSES
from kd_det.testing import tiny_pair, tiny_run

TRAIN = Path(__file__).parent.parent / 'tools' / 'train.py'
LOSSES = dict(
    loss_nd=dict(type='NDLoss'),
    loss_kd=dict(type='KDLoss'),
    # its memory of norms must survive as well
    loss_sifn=dict(type='SIFNLoss', num_classes=8, loss_weight=0.01),
)


@pytest.fixture
def config(shapes, tmp_path):
    distiller = dict(
        centroids=str(tmp_path / 'bank.npz'),
        losses=LOSSES,
        # so must the numbers that its dropout draws
        connectors=dict(student_embed=dict(type='EmbeddingAdaptor')),
    )
    cfg = tiny_run(
        tiny_pair(tmp_path, distiller, len(SHAPES_CLASSES)),
        shapes,
        tmp_path / 'unused',
        SHAPES_CLASSES,
        max_epochs=4,
    )
    cfg.train_cfg.val_interval = 1
    cfg.default_hooks = dict(
        checkpoint=dict(type='kd_det.SafeCheckpointHook', interval=1)
    )
    cfg.custom_hooks = [
        dict(type='kd_det.CentroidHook'),
        dict(type='kd_det.RandomStateHook'),
    ]
    path = tmp_path / 'pair.py'
    cfg.dump(path)
    return path


def command(config, work_dir):
    return [
        *(sys.executable, str(TRAIN), str(config)),
        *('--work-dir', str(work_dir), '--seed', '3', '--resume'),
    ]


def run_until_killed(config, work_dir):
    """Kill the training in the epoch after its second checkpoint."""
    process = subprocess.Popen(
        command(config, work_dir),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (work_dir / 'epoch_2.pth').exists():
        assert process.poll() is None, 'training ended before it was killed'
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (work_dir / 'epoch_4.pth').exists()


def leaves(tree, path=''):
    """Yield path and value of every leaf of a checkpoint's part."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f'{path}.{key}')
    elif isinstance(tree, (list, tuple)):
        for index, value in enumerate(tree):
            yield from leaves(value, f'{path}[{index}]')
    else:
        yield path, tree


def test_killed_and_resumed_equals_uninterrupted(config, tmp_path):
    straight, broken = tmp_path / 'straight', tmp_path / 'broken'
    subprocess.run(command(config, straight), check=True, capture_output=True)
    run_until_killed(config, broken)
    subprocess.run(command(config, broken), check=True, capture_output=True)
    one, other = (
        load_checkpoint(str(folder / 'epoch_4.pth'))
        for folder in (straight, broken)
    )
    for part in ('state_dict', 'optimizer', 'random_state'):
        first, second = dict(leaves(one[part])), dict(leaves(other[part]))
        assert first.keys() == second.keys()
        for path, value in first.items():
            same = (
                torch.equal(value, second[path])
                if isinstance(value, torch.Tensor)
                else value == second[path]
            )
            assert same, f'{part}{path} differs'
    assert 'distill.roi.losses.loss_sifn.previous_norms' in one['state_dict']
