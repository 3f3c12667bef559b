"""Processes of one group, forked: the packages are imported already."""

import multiprocessing
import os
import socket
from collections.abc import Callable

import torch
from tiny import spare_time

DEADLINE = 300  # seconds


def start(work: Callable, count: int, *args: object) -> list:
    """Fork ranks that each call ``work(rank, *args)``, and return them."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    ranks = [
        multiprocessing.get_context('fork').Process(
            target=_join, args=(rank, count, port, work, args)
        )
        for rank in range(count)
    ]
    for rank in ranks:
        rank.start()
    return ranks


def run(work: Callable, count: int, *args: object) -> None:
    """Let ranks work until all of them have ended well."""
    spare_time()
    ranks = start(work, count, *args)
    for rank in ranks:
        rank.join(DEADLINE)
    codes = [rank.exitcode for rank in ranks]
    for rank in ranks:
        rank.kill()
    assert codes == [0] * count


def _join(rank: int, count: int, port: int, work: Callable, args: tuple):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    os.environ['WORLD_SIZE'] = str(count)
    torch.set_num_threads(1)
    work(rank, *args)
