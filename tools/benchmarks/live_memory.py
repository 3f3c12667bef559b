"""Peak memory of the tensors of a computation, counted and not sampled."""

from collections.abc import Callable

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Count the bytes of all tensors that operations in a block return.

    What an operation allocates inside itself is not seen. Works on the meta
    device, where nothing is computed.

    Attributes:
        peak: Most bytes that were alive at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation, and count what it returns."""
        known = {
            leaf.untyped_storage()._cdata
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, torch.Tensor)
        }
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                if storage._cdata not in known:  # else a view, or in place
                    entry = StorageWeakRef(storage), storage.nbytes()
                    self._alive[storage._cdata] = entry
        self._alive = {
            key: (ref, size)
            for key, (ref, size) in self._alive.items()
            if not ref.expired()
        }
        self.peak = max(self.peak, sum(s for _, s in self._alive.values()))
        return out


def live_peak(run: Callable[[], object]) -> int:
    """Return the bytes that a computation adds, at its peak.

    Args:
        run: The computation; its inputs do not count.
    """
    with LiveMemory() as memory:
        run()
    return memory.peak
