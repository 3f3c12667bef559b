"""Capture, restore and isolate the random generators of a process."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from mmengine.dataset import worker_init_fn
from mmengine.dist import get_rank
from torch import nn
from torch.utils.data import DataLoader, get_worker_info


def capture() -> dict:
    """Return the states of Python's, NumPy's and torch's generators.

    The states consist of tensors, numbers, strings and containers, so that a
    checkpoint with them loads with pickle execution disabled.
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
    """Restore the states returned by :func:`capture`."""
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
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators of the CPU in the block, and restore them after it.

    Args:
        seed: From 0 to 2**32 - 1.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


@contextmanager
def isolated() -> Iterator[None]:
    """Restore the generators after the block."""
    state = capture()
    try:
        yield
    finally:
        restore(state)


def seed_workers(loader: DataLoader) -> None:
    """Seed workers from the main process at the start of each epoch.

    In MMEngine they repeat the augmentation of the first epoch. A custom
    ``worker_init_fn`` is kept.

    Args:
        loader: Data loader built by MMEngine.
    """
    init = loader.worker_init_fn
    if isinstance(init, partial) and init.func is worker_init_fn:
        loader.worker_init_fn = partial(
            seed_worker, init=init, rank=get_rank()
        )


def seed_worker(worker_id: int, init: partial, rank: int) -> None:
    """Seed a worker from its rank and the seed drawn by the main process.

    Args:
        worker_id: Index of the worker.
        init: MMEngine's function, whose seeds are the same in every epoch.
        rank: Rank of its process.
    """
    init(worker_id)
    # torch draws this seed from the main generator at the start of an epoch
    entropy = [get_worker_info().seed, rank]
    seeds = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(seeds[0]))
    np.random.seed(seeds[1])
    torch.manual_seed(int(seeds[2]))


class OwnNumbers(nn.Module):
    """A separate random generator for one part of a model.

    Its state is a buffer and thus saved in checkpoints. It is seeded once from
    the global generator in the constructor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('seed', torch.randint(2**62, ()))
        self._known: int | None = None  # on the host

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Use the separate generator within the block, and advance it."""
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
