"""kd_det's operators behind MMCV's functions, also where it was compiled."""

import importlib
import pkgutil
import subprocess
import sys
from types import SimpleNamespace

import mmcv.ops
import pytest
import torch

from kd_det.compat.mmcv_ops import OPERATORS

OURS = SimpleNamespace(**OPERATORS)
START = """
import importlib, itertools, sys
from types import SimpleNamespace
import torch
import kd_det
import mmcv.ops
from kd_det.compat.mmcv_ops import OPERATORS
for name in 'deform_conv', 'modulated_deform_conv', 'roi_align':
    module = importlib.import_module(f'mmcv.ops.{name}')
    module.ext_module = SimpleNamespace(**OPERATORS)
torch.manual_seed(0)
torch.set_default_device(sys.argv[1])
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
        command = [sys.executable, '-c', START + script, device]
        done = subprocess.run(command, capture_output=True, text=True)
        assert not done.returncode, (done.returncode, done.stderr)

    return run
