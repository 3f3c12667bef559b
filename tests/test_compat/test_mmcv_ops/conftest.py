"""kd_det's operators behind MMCV's functions, also where it was compiled."""

import importlib
import multiprocessing
import pkgutil
from types import SimpleNamespace

import mmcv.ops
import pytest
import torch

from kd_det.compat.mmcv_ops import OPERATORS

OURS = SimpleNamespace(**OPERATORS)
START = """
import importlib, itertools
from types import SimpleNamespace
import torch
import kd_det
import mmcv.ops
from kd_det.compat.mmcv_ops import OPERATORS
for name in 'deform_conv', 'modulated_deform_conv', 'roi_align':
    module = importlib.import_module(f'mmcv.ops.{name}')
    module.ext_module = SimpleNamespace(**OPERATORS)
torch.manual_seed(0)
torch.set_num_threads(1)
torch.set_default_device(device)
nan, inf = float('nan'), float('inf')
same = torch.testing.assert_close
"""


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


@pytest.fixture
def alone(device):
    """A function that runs a script in a process, which may crash."""

    def run(script):
        # a fork has imported everything, but cannot use a GPU
        kind = 'spawn' if device == 'cuda' else 'fork'
        names = dict(device=device)
        process = multiprocessing.get_context(kind).Process(
            target=exec, args=(START + script, names)
        )
        process.start()
        process.join()
        assert process.exitcode == 0

    return run
