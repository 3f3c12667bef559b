"""Fixtures shared by all tests: a small real data set and a pair on it."""

import logging
import sys
from pathlib import Path

import pytest
from mmengine.logging import MMLogger
from tiny import CLASSES, batch_of, build, pair_cfg, spare_time, tiny_spec

import kd_det.registry  # noqa: F401  MMCV finds its operators
from kd_det.datasets import make_shapes
from kd_det.models import rewriting
from kd_det.precompute.centroids import compute_bank
from kd_det.testing import save_teacher, tiny_run

# last, so that no tool hides a module of its name
sys.path.append(str(Path(__file__).parents[1] / 'tools'))


@pytest.fixture(scope='session', autouse=True)
def same_on_every_cpu():
    """No half precision, which only some CPUs are fast in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rewriting, 'is_fast_in', lambda dtype: False)
        yield


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    """A shapes folder: 12 training and 6 validation images of 64 pixels."""
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    return make_shapes(folder, num_train=12, num_val=6, image_size=64, seed=0)


@pytest.fixture(scope='session')
def teacher(tmp_path_factory):
    """The spec of a tiny teacher of the shapes; its weights are random."""
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    spare_time()
    return save_teacher(tiny_spec(50), path, CLASSES)


@pytest.fixture(scope='session')
def bank(shapes, teacher, tmp_path_factory):
    """The file of this teacher's class means, background included."""
    path = tmp_path_factory.mktemp('bank') / 'bank.npz'
    cfg = tiny_run(pair_cfg(teacher), shapes, '', CLASSES)
    distiller = build(cfg.model).distill['roi']
    means = compute_bank(distiller, cfg, 'proposals')
    assert means.counts.min() > 0
    means.save(path)
    return str(path)


@pytest.fixture(scope='session')
def batch(shapes):
    """Two training images with objects, collated; not to be changed."""
    return batch_of(shapes, 1, 3)


@pytest.fixture
def said(monkeypatch):
    """The lines of the log, each with its level."""
    lines = []
    logger = MMLogger.get_instance('mmengine')
    level = logger.level
    logger.setLevel(logging.INFO)
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda r: lines.append(f'{r.levelname} {r.getMessage()}')
    logger.addHandler(handler)
    monkeypatch.setattr(MMLogger, 'get_current_instance', lambda: logger)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)
