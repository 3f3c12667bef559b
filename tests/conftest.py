"""Fixtures shared by all tests: a small real data set and a pair on it."""

import pytest

import kd_det.registry  # noqa: F401  torchvision is made importable first
from kd_det.datasets import SHAPES_CLASSES, make_shapes
from kd_det.testing import save_teacher, tiny_faster_rcnn


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    """A shapes folder: 12 training and 6 validation images of 64 pixels."""
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    return make_shapes(folder, num_train=12, num_val=6, image_size=64, seed=0)


@pytest.fixture(scope='session')
def teacher(tmp_path_factory):
    """The spec of a tiny teacher of the shapes; its weights are random."""
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    spec = tiny_faster_rcnn(50, len(SHAPES_CLASSES))
    return save_teacher(spec, path, SHAPES_CLASSES)
