"""kd_det's operators behind MMCV's functions, also where it was compiled."""

import importlib
import pkgutil
from types import SimpleNamespace

import mmcv.ops
import pytest
import torch

from kd_det.compat.mmcv_ops import OPERATORS

OURS = SimpleNamespace(**OPERATORS)


@pytest.fixture(autouse=True)
def ours(monkeypatch):
    """Let MMCV's functions call kd_det's operators."""
    for info in pkgutil.iter_modules(mmcv.ops.__path__, 'mmcv.ops.'):
        module = importlib.import_module(info.name)
        if hasattr(module, 'ext_module'):
            monkeypatch.setattr(module, 'ext_module', OURS)


@pytest.fixture(
    params=['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']
)
def device(request):
    """Each device that is here."""
    return request.param
