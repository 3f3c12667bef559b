"""FiniteWatch: check that outputs are finite without waiting for a GPU."""

from collections import deque

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from kd_det.functional._common import holds


class FiniteWatch:
    """Find outputs that are not finite, or too large to be squared.

    On a CPU, a call returns its own result. A GPU is not waited for: each call
    returns what is known so far, usually the result of the previous call.
    """

    def __init__(self) -> None:
        self._asked: deque = deque()

    def look(self, outputs: dict[str, Tensor | tuple]) -> list[str]:
        """Return the names of outputs known to be bad.

        Args:
            outputs: Name -> tensor, or tuple of tensors; empty tensors are
                accepted.
        """
        found = {
            name: torch.stack([tensor.float().norm() for tensor in tensors])
            for name, output in outputs.items()
            if (tensors := _floating(output))
        }
        if found:
            good = torch.stack([n.isfinite().all() for n in found.values()])
            if not good.is_cuda:
                return [] if holds(good, '') else _wrong(found, good)
            copy = good.to('cpu', non_blocking=True)
            done = torch.cuda.Event()
            done.record()
            self._asked.append(([*found], copy, done))
        wrong = []
        while self._asked and self._asked[0][2].query():
            wrong += _wrong(*self._asked.popleft()[:2])
        return wrong


def _floating(output) -> list[Tensor]:
    return [
        leaf
        for leaf in tree_leaves(output)
        if isinstance(leaf, Tensor) and leaf.is_floating_point()
    ]


def _wrong(names, good: Tensor) -> list[str]:
    return [name for name, fine in zip(names, good.tolist()) if not fine]
