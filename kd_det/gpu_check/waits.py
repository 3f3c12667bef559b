"""Find the synchronisation points of a computation."""

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from kd_det.functional import _common

# operators whose result or shape must be known on the host
WAITING = (
    '_local_scalar_dense',
    '_unique2',
    'equal',
    'masked_select',
    'nonzero',
    'unique_consecutive',
    'unique_dim',
)
# methods that run no operator on a CPU
METHODS = (Tensor.tolist, Tensor.numpy, Tensor.cpu)
INDEXED = ('index', 'index_put', 'index_put_', '_index_put_impl_')
MESSAGE = 'called a synchronizing CUDA operation'
TORCH = Path(torch.__file__).parent


def waits(run: Callable[[], object], device: torch.device) -> Counter:
    """Count the synchronisations of a computation by location.

    On a GPU, ``torch.cuda.set_sync_debug_mode`` is used. On a CPU, operators
    that would synchronise on a GPU are counted: conversions to Python numbers,
    and selections by a mask. Copies from host to device can only be counted on
    a GPU.

    Args:
        run: The computation.
        device: Its device.

    Returns:
        Location (``module/file.py:line``) -> count.
    """
    record = _of_gpu if device.type == 'cuda' else _of_cpu
    places = []
    with record(places):
        run()
    return Counter(places)


@contextmanager
def _of_gpu(places: list[str]) -> Iterator[None]:
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)
    places += [
        _place(warning.filename, warning.lineno)
        for warning in caught
        if MESSAGE in str(warning.message)
    ]


@contextmanager
def _of_cpu(places: list[str]) -> Iterator[None]:
    with _Operators(places), _Methods(places):
        yield


class _Operators(TorchDispatchMode):
    """Record the location of operators that would synchronise on a GPU."""

    def __init__(self, places: list[str]) -> None:
        super().__init__()
        self.places = places

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if _waits(func, args):
            self.places += _caller()
        return func(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    """Record the location of methods that would synchronise on a GPU."""

    def __init__(self, places: list[str]) -> None:
        super().__init__()
        self.places = places

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in METHODS:
            self.places += _caller()
        return func(*args, **(kwargs or {}))


def _caller() -> list[str]:
    """Return the calling location outside torch, as a list of one."""
    frame = sys._getframe(2)
    while (file := frame.f_code.co_filename) == __file__ or Path(
        file
    ).is_relative_to(TORCH):
        frame = frame.f_back
    if frame.f_code is _common.holds.__code__:
        return []  # a check that is done on the device if there is one
    return [_place(frame.f_code.co_filename, frame.f_lineno)]


def _waits(func: Callable, args: tuple) -> bool:
    name = func.overloadpacket.__name__
    if name in WAITING:
        return True
    if name not in INDEXED:
        return False
    masks = [
        index
        for index in args[1]
        if isinstance(index, Tensor) and index.dtype == torch.bool
    ]
    # writing one number through a mask is a fill of known size
    filled = name != 'index' and args[2].numel() == 1
    return bool(masks) and not filled


def _place(file: str, line: int) -> str:
    parts = Path(file).parts
    roots = [i for i, part in enumerate(parts) if part == 'site-packages']
    first = roots[-1] + 1 if roots else max(len(parts) - 3, 0)
    return f'{"/".join(parts[first:])}:{line}'
