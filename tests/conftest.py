"""Fixtures shared by all tests: a small real data set and a pair on it."""

import pytest

import kd_det.registry  # noqa: F401  torchvision is made importable first
from kd_det.datasets import make_shapes


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    """A shapes folder: 12 training and 6 validation images of 64 pixels."""
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    return make_shapes(folder, num_train=12, num_val=6, image_size=64, seed=0)
