"""The random generators of a process: capture, restore, isolate."""

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


def seed_workers(loader: DataLoader) -> None:
    """Seed workers by what the main process draws when an epoch begins.

    MMEngine lets them repeat the augmentation of the first epoch. An
    initialisation of the user's own stays.

    Args:
        loader: As MMEngine builds it.
    """
    init = loader.worker_init_fn
    if isinstance(init, partial) and init.func is worker_init_fn:
        loader.worker_init_fn = partial(
            seed_worker, init=init, rank=get_rank()
        )


def seed_worker(worker_id: int, init: partial, rank: int) -> None:
    """Seed a worker by rank and by what the main process drew for it.

    Args:
        worker_id: Number of the worker.
        init: MMEngine's own function, whose seeds are the same every epoch.
        rank: Rank of the process it works for.
    """
    init(worker_id)
    # torch draws this seed, when an epoch begins, from the main generator
    entropy = [get_worker_info().seed, rank]
    seeds = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(seeds[0]))
    np.random.seed(seeds[1])
    torch.manual_seed(int(seeds[2]))


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
