"""How much memory a step adds at its peak."""

import contextlib
import ctypes
from collections.abc import Callable

import torch

STATUS, RESET = '/proc/self/status', '/proc/self/clear_refs'


def added_memory(
    step: Callable[[], object], device: torch.device
) -> int | None:
    """Return the bytes that a step adds to the memory in use, at its peak.

    On a CPU this is the memory of the process, which Linux alone can tell for
    one step.

    Args:
        step: The step.
        device: Where it runs.

    Returns:
        The bytes, or None where they are unknown.
    """
    if device.type == 'cuda':
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() - before
    try:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # what is free is not in use
        with open(RESET, 'w') as file:
            file.write('5')  # the peak becomes what is in use now
        before = _status('VmRSS')
        step()
        return _status('VmHWM') - before
    except (OSError, ValueError):
        step()
        return None


def _status(key: str) -> int:
    with open(STATUS) as file:
        (line,) = (line for line in file if line.startswith(f'{key}:'))
    return 1024 * int(line.split()[1])
