"""Detectors of every family, built once."""

import copy
import functools

import pytest
import torch
from mmengine.registry import init_default_scope
from tiny import spare_time
from torch import nn

from kd_det.models.spec import read_spec
from kd_det.registry import MODELS
from kd_det.testing import tiny_detector


@pytest.fixture(scope='package', autouse=True)
def quickly():
    spare_time()


@functools.cache
def _built(family: str) -> nn.Module:
    init_default_scope('mmdet')
    torch.manual_seed(0)
    spec = tiny_detector(family)
    model = MODELS.build(read_spec(spec, 'student')[0])
    model.init_weights()
    return model


@pytest.fixture
def detector():
    """A function: family -> a tiny detector of its own, in train mode."""

    def build(family: str) -> nn.Module:
        torch.manual_seed(0)
        return copy.deepcopy(_built(family)).train()

    return build
