"""The random generators of a process: capture, restore, isolate."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


def capture() -> dict:
    """Return the states of Python's, NumPy's and torch's generators.

    Only tensors, numbers, strings and containers of them, so that a
    checkpoint holding it loads with pickle execution off.
    """
    version, keys, gauss = random.getstate()
    name, numpy_keys, position, has_gauss, cached = np.random.get_state()
    state = dict(
        python=(version, torch.tensor(keys), gauss),
        numpy=(
            name,
            torch.from_numpy(numpy_keys.astype(np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ),
        torch=torch.get_rng_state(),
    )
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state_all()
    return state


def restore(state: dict) -> None:
    """Set the generators to what :func:`capture` returned."""
    version, keys, gauss = state['python']
    random.setstate((version, tuple(keys.tolist()), gauss))
    name, numpy_keys, *rest = state['numpy']
    np.random.set_state((name, numpy_keys.cpu().numpy(), *rest))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([s.cpu() for s in state['cuda']])


def seed_all(seed: int) -> None:
    """Seed the three generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def isolated() -> Iterator[None]:
    """Leave the generators as they were, whatever the block draws."""
    state = capture()
    try:
        yield
    finally:
        restore(state)


class OwnNumbers(nn.Module):
    """Random numbers of one part of a model, apart from the process's.

    Where they stand is a buffer, so that a checkpoint keeps it. The first
    are chosen by the global generator, once, when this is built.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('seed', torch.randint(2**62, ()))
        self._known: int | None = None  # on the host: no wait for a GPU

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Let the block draw its own; the next one draws others."""
        if self._known is None:
            self._known = int(self.seed)
        with isolated():
            torch.manual_seed(self._known)
            yield
        self._known += 1
        self.seed += 1

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self._known = None
