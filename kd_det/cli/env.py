"""Print versions, operators and GPUs in use, and any problems.

Every problem is shown with its fix; if there is one, the exit status is 1. The
report also works if torch or another library is missing or broken.
"""

import argparse
import importlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import kd_det
from kd_det.compat.mmcv_finder import OperatorFinder
from kd_det.errors import UserError
from kd_det.shipped import PACKAGE, shipped

# Distribution -> module, in order of dependency.
STACK = {
    'numpy': 'numpy',
    'torch': 'torch',
    'torchvision': 'torchvision',
    'opencv-python': 'cv2',
    'pycocotools': 'pycocotools.mask',
    'onedl-mmengine': 'mmengine',
    'onedl-mmcv': 'mmcv',
    'onedl-mmdetection': 'mmdet',
    'onedl-mmpretrain': 'mmpretrain',
}
REINSTALL = 'pip install --force-reinstall --no-deps'
SPACE = 2e9  # bytes; enough for a few checkpoints of a pair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments."""


def run(args: argparse.Namespace) -> None:
    """Print the report and exit with 1 if there is a problem."""
    found = problems()
    if not found:
        print('\nNo problems found.')
        return
    print('\nProblems:')
    for problem in found:
        print(f'- {problem}')
    sys.exit(1)


def problems() -> list[str]:
    """Print what is installed and in use; return the problems."""
    show('kd_det', f'{kd_det.__version__}, {PACKAGE}')
    show('Python', f'{platform.python_version()}, {sys.executable}')
    show('system', platform.platform())
    checks = versions, imports, operators, gpus, files
    return [problem for check in checks for problem in check()]


def show(name: str, value: str) -> None:
    """Print one line of the report."""
    print(f'{name:18} {value}', flush=True)


def version(name: str) -> str | None:
    """Return the version of an installed distribution."""
    from importlib import metadata  # slow, and not needed for --help

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def tested() -> dict[str, str]:
    """Return distribution -> the version in ``constraints.txt``."""
    try:
        lines = shipped('constraints.txt').read_text().splitlines()
    except UserError:
        return {}
    pins = (line.partition(';')[0].partition('==') for line in lines)
    return {name: pin.strip() for name, equals, pin in pins if equals}


def pinned(*names: str) -> str:
    """Return pip requirements for the tested versions."""
    pins = tested()
    return ' '.join(f'{n}=={pins[n]}' if n in pins else n for n in names)


def versions() -> Iterator[str]:
    """Show the versions; yield missing, untested or duplicate packages."""
    pins = tested()
    for name in STACK:
        found, pin = version(name), pins.get(name)
        if found is None:
            show(name, 'missing')
            yield f'{name} is not installed; pip install {pinned(name)}.'
        elif pin and found.split('+')[0] != pin:  # 2.14.1+cpu is 2.14.1
            show(name, f'{found} (tested with {pin})')
        else:
            show(name, found)
    yield from _unmet()
    from importlib import metadata

    owners = metadata.packages_distributions()
    for name, module in STACK.items():
        twins = sorted({*owners.get(module.partition('.')[0], ())})
        alike = len({version(twin) for twin in twins}) == 1
        if len(twins) > 1 and not (module == 'cv2' and alike):
            yield (
                f'{" and ".join(twins)} install into the same folder '
                f'{module!r}; pip uninstall {" ".join(twins)}, then pip '
                f'install {pinned(name)}.'
            )


def _unmet() -> Iterator[str]:
    """Yield unmet requirements of the installed packages."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield 'packaging is not installed; pip install packaging.'
        return
    from importlib import metadata

    for owner in (*STACK, 'kd_det'):
        if version(owner) is None:  # a clone may be used without installing
            continue
        for line in metadata.requires(owner) or ():
            need = Requirement(line)
            if need.marker and not need.marker.evaluate({'extra': ''}):
                continue
            found = version(need.name)
            if found is None and need.name in STACK:
                continue  # reported above
            if found is None or not need.specifier.contains(found, True):
                wanted = f'{need.name}{need.specifier}'
                yield (
                    f'{owner} needs {wanted}, but {found or "none"} is '
                    f"installed; pip install '{wanted}'."
                )


def imports() -> Iterator[str]:
    """Import the packages up to the first error, and yield it."""
    for name, module in STACK.items():
        if version(name) is None:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                importlib.import_module(module)
        except Exception as error:  # broken libraries raise anything
            lacks = isinstance(error, ModuleNotFoundError)
            if lacks and any(
                version(n) is None and m.partition('.')[0] == error.name
                for n, m in STACK.items()
            ):
                return  # the missing one was reported
            fix = f'{REINSTALL} {pinned(name)}'
            if module == 'torchvision':
                fix = f'pip install {pinned("torch", "torchvision")}'
            elif module == 'cv2':  # needs no desktop libraries
                fix = f'{REINSTALL} {pinned("opencv-python-headless")}'
            yield f'{name} cannot be imported ({_short(error)}); {fix}.'
            return


def operators() -> Iterator[str]:
    """Show which operators MMCV uses; yield problems with them."""
    if 'mmcv' not in sys.modules:
        return
    ours = util.find_spec('mmcv._ext').loader is OperatorFinder
    if ours:
        pth = Path(sysconfig.get_path('purelib'), 'kd_det_ops.pth')
        where = (
            'all processes' if pth.exists() else 'processes that import kd_det'
        )
        show('operators', f'kd_det on torchvision, in {where}')
    else:
        show('operators', 'compiled with MMCV')
    import torch

    try:
        from mmcv.ops import nms

        for device in ['cpu'] + ['cuda'] * torch.cuda.is_available():
            boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8]]).to(device)
            scores = torch.tensor([0.8, 0.9]).to(device)
            kept = nms(boxes, scores, 0.5)[1].tolist()
            if kept != [1]:
                raise ValueError(
                    f'NMS keeps {kept} instead of [1] on {device}'
                )
    except Exception as error:
        if ours:
            whose = 'the operators of torchvision do'
            fix = f'pip install {pinned("torch", "torchvision")}'
        else:
            whose = "MMCV's compiled operators do"
            fix = (
                f'{REINSTALL} --no-cache-dir {pinned("onedl-mmcv")} installs '
                'MMCV without them'
            )
        yield (
            f'{whose} not work with torch {torch.__version__} '
            f'({_short(error)}); {fix}.'
        )


def gpus() -> Iterator[str]:
    """Show the GPUs; yield why torch cannot use existing ones."""
    there = _nvidia_smi()
    torch = sys.modules.get('torch')
    if not hasattr(torch, 'cuda'):  # missing or broken
        show('GPU', '; '.join(there) or 'none found')
        return
    build = torch.version.cuda and f'CUDA {torch.version.cuda}'
    build = build or (torch.version.hip and f'ROCm {torch.version.hip}')
    show('torch built for', build or 'the CPU')
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        card = torch.cuda.get_device_properties(index)
        kind = f'{card.major}.{card.minor}'
        memory = card.total_memory / 2**30
        show(f'GPU {index}', f'{card.name}, {memory:.0f} GiB, sm {kind}')
        if torch.version.cuda and not _has_kernels(
            torch.cuda.get_arch_list(), card.major, card.minor
        ):
            yield (
                f'torch {torch.__version__} has no kernels for {card.name} '
                f'(compute capability {kind}); install a build of torch and '
                'torchvision that has them (see the install page of PyTorch).'
            )
    if count:
        return
    show('GPU', 'none used')
    hidden = os.environ.get('CUDA_VISIBLE_DEVICES')
    if not there:
        return
    if hidden is not None and hidden.strip() in ('', '-1'):
        why = f'CUDA_VISIBLE_DEVICES={hidden!r} hides it; unset the variable'
    elif build:
        why = (
            f'torch built for {build} cannot use its driver; update the '
            'driver, or install a build of torch for an older CUDA'
        )
    else:
        why = (
            'torch is a CPU-only build; install a CUDA build of torch and '
            'torchvision (see the install page of PyTorch)'
        )
    yield f'The machine has a GPU ({there[0]}), but {why}.'


def _has_kernels(built: list[str], major: int, minor: int) -> bool:
    """Return whether any of the built kernels run on a GPU.

    Args:
        built: Architectures such as ``['sm_80', 'sm_90a', 'compute_90']``.
        major: Major compute capability of the GPU, which ``sm`` must match.
        minor: Minor compute capability; that of ``sm`` may be smaller.
    """
    for name in built:
        kind, _, digits = name.partition('_')
        number = int(digits.rstrip('af'))
        if kind == 'compute' and number <= 10 * major + minor:
            return True
        if number // 10 == major and number % 10 <= minor:
            return True
    return False


def _nvidia_smi() -> list[str]:
    """Return name, memory and driver version of each GPU."""
    query = 'nvidia-smi --query-gpu=name,memory.total,driver_version'
    try:
        done = subprocess.run(
            [*query.split(), '--format=csv,noheader'],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.strip().splitlines()


def files() -> Iterator[str]:
    """Show the free disk space; yield problems with disk or package."""
    free = shutil.disk_usage('.').free
    show('free disk space', f'{free / 1e9:.0f} GB in {os.getcwd()}')
    if free < SPACE:
        yield (
            f'{free / 1e9:.1f} GB are free in {os.getcwd()}, enough for a '
            'few checkpoints only; free some space or use --work-dir.'
        )
    try:
        shipped('configs')
    except UserError as error:
        yield str(error)


def _short(error: Exception) -> str:
    """Return the type and the first line of an error."""
    lines = str(error).strip().splitlines() or ['']
    return f'{type(error).__name__}: {lines[0][:200]}'
