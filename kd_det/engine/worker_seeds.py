"""Worker processes of a data loader that draw anew every epoch."""

import random
from functools import partial

import numpy as np
import torch
from mmengine.dataset import worker_init_fn
from mmengine.dist import get_rank
from torch.utils.data import DataLoader, get_worker_info


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
