"""``kd_det env``: what it says where something is missing or broken."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from kd_det import shipped
from kd_det.cli import env
from kd_det.compat.mmcv_finder import OperatorFinder

ROOT = Path(__file__).parents[1]
GPU = 'NVIDIA T4, 15360 MiB, 535.54'


def report(*before, python=sys.executable, path=os.environ['PATH']):
    """Run ``kd_det env`` with folders before all others on the path."""
    done = subprocess.run(
        [python, '-m', 'kd_det', 'env'],
        env=dict(
            os.environ,
            PYTHONPATH=os.pathsep.join(map(str, [*before, ROOT])),
            PATH=path,
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'Traceback' not in done.stdout + done.stderr
    assert done.returncode == ('No problems' not in done.stdout)
    _, _, problems = done.stdout.partition('Problems:\n')
    return done.stdout, problems.splitlines()


def install(folder, name, version, *lines):
    """Write the metadata of a distribution."""
    info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir()
    head = ['Metadata-Version: 2.1', f'Name: {name}', f'Version: {version}']
    (info / 'METADATA').write_text('\n'.join([*head, *lines, '']))
    return info


@pytest.fixture
def broken_torch(tmp_path):
    """A folder whose torch fails, which ends the slow part of the report."""
    (tmp_path / 'torch.py').write_text('raise OSError("no libcudart.so")')
    return tmp_path


def test_an_empty_environment(tmp_path):
    venv.create(tmp_path)
    text, problems = report(python=tmp_path / 'bin/python')
    assert f'Python             {sys.version.split()[0]}, ' in text
    for name in env.STACK:
        assert f'{name:18} missing\n' in text
        pip = f'pip install {name}=={env.tested()[name]}.'
        assert f'- {name} is not installed; {pip}' in problems
    assert '- packaging is not installed; pip install packaging.' in problems
    assert len(problems) == len(env.STACK) + 1


def test_torch_that_cannot_be_imported(broken_torch):
    _, problems = report(broken_torch)
    pin = f'torch=={env.tested()["torch"]}'
    assert problems == [
        '- torch cannot be imported (OSError: no libcudart.so); '
        f'pip install --force-reinstall --no-deps {pin}.'
    ]


def test_versions_that_do_not_fit(broken_torch):
    need = 'Requires-Dist: torch (==1.0.0)'
    extra = "Requires-Dist: torch (==9.9) ; extra == 'scipy'"
    install(broken_torch, 'torchvision', '0.2.0', need, extra)
    text, problems = report(broken_torch)
    pin = env.tested()['torchvision']
    assert f'torchvision        0.2.0 (tested with {pin})\n' in text
    assert (
        f'- torchvision needs torch==1.0.0, but {env.version("torch")} is '
        "installed; pip install 'torch==1.0.0'." in problems
    )
    assert not any('9.9' in problem for problem in problems)


def test_two_packages_of_one_module(broken_torch):
    for name in ('mmdet', 'opencv-python-twin'):
        info = install(broken_torch, name, '3.0.0')
        module = 'cv2' if 'cv' in name else name
        (info / 'top_level.txt').write_text(f'{module}\n')
    _, problems = report(broken_torch)
    both = 'mmdet and onedl-mmdetection install into the same folder '
    assert any(both + "'mmdet'; pip uninstall" in p for p in problems)
    assert any("opencv-python-twin install into the same folder 'cv2'" in p
               for p in problems)  # fmt: skip


def test_torchvision_of_another_torch(tmp_path):
    error = 'operator torchvision::nms does not exist'
    (tmp_path / 'torchvision.py').write_text(f'raise RuntimeError("{error}")')
    _, problems = report(tmp_path)
    pins = env.tested()
    assert problems == [
        f'- torchvision cannot be imported (RuntimeError: {error}); pip '
        f'install torch=={pins["torch"]} torchvision=={pins["torchvision"]}.'
    ]


def test_operators_of_another_torch_and_a_gpu_without_a_driver(tmp_path):
    stock = Path(importlib.util.find_spec('mmcv').origin).parent
    (tmp_path / 'mmcv').mkdir()
    for path in stock.iterdir():
        if not path.name.startswith('_ext.'):
            (tmp_path / 'mmcv' / path.name).symlink_to(path)
    suffix = sysconfig.get_config_var('EXT_SUFFIX')
    (tmp_path / f'mmcv/_ext{suffix}').write_text('of another torch')
    smi = tmp_path / 'nvidia-smi'
    smi.write_text(f'#!/bin/sh\necho "{GPU}"\n')
    smi.chmod(0o755)
    text, problems = report(tmp_path, path=f'{tmp_path}:{os.environ["PATH"]}')
    assert 'operators          compiled with MMCV\n' in text
    (operators,) = [p for p in problems if 'MMCV' in p]
    assert (
        f'do not work with torch {torch.__version__} (ImportErr' in operators
    )
    pin = f'onedl-mmcv=={env.tested()["onedl-mmcv"]}'
    assert f'--no-deps --no-cache-dir {pin} installs MMCV with' in operators
    if not torch.cuda.is_available():
        (gpu,) = [p for p in problems if 'GPU' in p]
        assert gpu.startswith(f'- The machine has a GPU ({GPU}), but torch ')


@pytest.fixture
def machine(monkeypatch):
    """A machine with a GPU that torch does not see."""
    monkeypatch.setattr(env, '_nvidia_smi', lambda: [GPU])
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ('cuda', 'hidden', 'said'),
    [
        (None, None, 'torch is a CPU-only build; install a CUDA build'),
        ('13.0', None, 'torch built for CUDA 13.0 cannot use its driver;'),
        ('13.0', '', "CUDA_VISIBLE_DEVICES='' hides it; unset"),
        ('13.0', '-1', "CUDA_VISIBLE_DEVICES='-1' hides it; unset"),
    ],
)
def test_a_gpu_that_is_not_used(machine, capsys, cuda, hidden, said):
    machine.setattr(torch.version, 'cuda', cuda)
    if hidden is not None:
        machine.setenv('CUDA_VISIBLE_DEVICES', hidden)
    (problem,) = env.gpus()
    assert problem.startswith(f'The machine has a GPU ({GPU}), but {said}')
    built = f'CUDA {cuda}' if cuda else 'the CPU'
    assert f'torch built for    {built}\n' in capsys.readouterr().out


def test_no_gpu_is_no_problem(machine, capsys):
    machine.setattr(env, '_nvidia_smi', list)
    assert [*env.gpus()] == []
    assert 'GPU                none used\n' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('built', 'capability', 'runs'),
    [
        (['sm_80', 'sm_90'], (9, 0), True),
        (['sm_80'], (8, 6), True),  # binaries run within a generation,
        (['sm_86'], (8, 0), False),  # on what is no older,
        (['sm_80', 'sm_90'], (10, 0), False),  # and not beyond it
        (['sm_90', 'compute_90'], (12, 0), True),  # PTX does
        (['sm_75', 'sm_120'], (6, 1), False),
        (['sm_90a'], (9, 0), True),
    ],
)
def test_kernels_of_a_gpu(built, capability, runs):
    assert env._has_kernels(built, *capability) is runs


def test_operators_of_this_environment(capsys):
    import mmcv  # noqa: F401

    assert [*env.operators()] == []
    loader = importlib.util.find_spec('mmcv._ext').loader
    ours = loader is OperatorFinder
    said = 'kd_det on torchvision' if ours else 'compiled with MMCV'
    assert f'operators          {said}' in capsys.readouterr().out


def test_little_space_and_no_configs(monkeypatch, tmp_path, capsys):
    usage = namedtuple('usage', 'total used free')
    small = usage(9e9, 7.5e9, 1.5e9)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: small)
    monkeypatch.setattr(shipped, 'PACKAGE', tmp_path / 'kd_det')
    space, configs = env.files()
    assert space.startswith(f'1.5 GB are free in {os.getcwd()}')
    assert configs.startswith('This installation of kd_det has no configs')
