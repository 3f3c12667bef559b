"""Clocks, and the times of runs that take turns."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles

import torch

from kd_det.progress import track


class Clock:
    """A clock that fits the machine.

    On a GPU this is the time of its queue of work, without waiting for it.
    With one thread on a CPU it is the CPU time of the process, which excludes
    other processes; with several, wall-clock time, since CPU time adds up the
    threads.

    Args:
        on_gpu: Whether the work runs on a GPU.

    Attributes:
        name: Name of what is measured.
    """

    def __init__(self, on_gpu: bool = False) -> None:
        self._on_gpu = on_gpu
        one = torch.get_num_threads() == 1
        self._now = time.process_time if one else time.perf_counter
        self.name = 'CPU time' if one else 'wall time'
        if on_gpu:
            self.name = 'GPU time'

    def mark(self) -> 'float | torch.cuda.Event':
        """Return the present moment."""
        if not self._on_gpu:
            return self._now()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, begin, end) -> float:
        """Return the seconds between two moments.

        Args:
            begin: From :meth:`mark`.
            end: From a later :meth:`mark`.
        """
        if not self._on_gpu:
            return end - begin
        end.synchronize()
        return begin.elapsed_time(end) / 1000


@dataclass(frozen=True)
class Times:
    """The times of one run.

    Attributes:
        seconds: Seconds of each round.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds, in seconds."""
        return median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and third quartile of the rounds, in seconds."""
        return _quartiles(self.seconds)

    def ratio(self, other: 'Times') -> tuple[float, float, float]:
        """Return the median and both quartiles of the ratio to another run.

        The two times of a round are measured shortly after each other, so that
        a slow machine affects both.

        Args:
            other: Times of the same rounds.
        """
        pairs = zip(self.seconds, other.seconds, strict=True)
        ratios = [mine / theirs for mine, theirs in pairs]
        return median(ratios), *_quartiles(ratios)


def _quartiles(values) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = quantiles(values, n=4, method='inclusive')
    return first, third


def alternate(
    runs: dict[str, Callable[[int], object]], rounds: int, title: str
) -> dict[str, list]:
    """Call each run once a round; every second round in reverse order.

    So no run always follows the same other one.

    Args:
        runs: Name -> function of the round's number.
        rounds: Number of rounds.
        title: Title of the progress bar.

    Returns:
        Name -> results of the rounds.
    """
    found: dict[str, list] = {name: [] for name in runs}
    names = [*runs]
    for number in track(range(rounds), title, in_thread=False):
        for name in names:
            found[name].append(runs[name](number))
        names.reverse()
    return found


@contextmanager
def threads_of_torch(threads: int) -> Iterator[None]:
    """Set the number of torch threads within a block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
