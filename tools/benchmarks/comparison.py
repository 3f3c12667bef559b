"""Variants of one computation: whether they agree, what each costs."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from kd_det.errors import UserError

# of the largest entry: float32 sums in another order
TOLERANCE = 1e-5

Variant = Callable[[], Sequence[Tensor]]


@dataclass(frozen=True)
class Timing:
    """What one variant took in each round.

    Attributes:
        variant: Its name.
        seconds: One entry a round.
        error: Largest difference from the first variant's results, relative
            to the largest entry of each.
    """

    variant: str
    seconds: tuple[float, ...]
    error: float

    @property
    def ms(self) -> float:
        """The median round, in milliseconds."""
        return 1000 * median(self.seconds)

    def ratio(self, other: 'Timing') -> float:
        """Return the median over rounds of this time by the other's.

        The two times of a round lie close together, so that a machine that
        is slow for a while is slow for both.
        """
        pairs = zip(self.seconds, other.seconds, strict=True)
        return median(mine / theirs for mine, theirs in pairs)


def compare(
    title: str,
    variants: dict[str, Variant],
    rounds: int,
    tolerance: float = TOLERANCE,
    clock: Callable[[], float] | None = None,
) -> list[Timing]:
    """Check that variants give the same, then time them in turns.

    Every second round runs backwards, so that none always comes after the
    same other one.

    Args:
        title: Of the progress bar.
        variants: Name -> what runs it and returns its results.
        rounds: Calls of each, after one that is not timed.
        tolerance: Largest ``Timing.error`` accepted.
        clock: Gives the time in seconds; :func:`fitting_clock` without it.

    Raises:
        RuntimeError: A variant differs from the first one.
    """
    results = {name: run() for name, run in variants.items()}
    first, expected = next(iter(results.items()))
    errors = {}
    for name, result in results.items():
        errors[name] = error = _error(result, expected)
        if not error <= tolerance:  # nor is NaN
            raise RuntimeError(
                f'{title}: {name!r} differs from {first!r} by {error:.1e} of '
                f'the largest entry, where {tolerance:.0e} is accepted; do '
                'not compare their times before they compute the same.'
            )
    seconds = {name: [] for name in variants}
    clock, names = clock or fitting_clock(), [*variants]
    console = Console(stderr=True)
    bar = track(
        range(rounds),
        title,
        console=console,
        disable=not console.is_terminal,
        transient=True,
        auto_refresh=False,  # by a thread whose time would count
    )
    for _ in bar:
        for name in names:
            begin = clock()
            variants[name]()
            seconds[name].append(clock() - begin)
        names.reverse()
    return [
        Timing(name, tuple(seconds[name]), errors[name]) for name in variants
    ]


def table(timings: list[Timing], **references: Timing) -> str:
    """Return timings as lines of text.

    Args:
        timings: The rows.
        references: Heading of a column -> what its ratios are relative to.
    """
    head = ''.join(f'{title:>10}' for title in references)
    lines = [f'{"ms":>10}{head}{"error":>10}  variant']
    for row in timings:
        ratios = ''.join(
            f'{row.ratio(reference):>10.2f}'
            for reference in references.values()
        )
        lines.append(
            f'{row.ms:>10.2f}{ratios}{row.error:>10.1e}  {row.variant}'
        )
    return '\n'.join(lines)


def check_least(least: int, **numbers: int) -> None:
    """Raise a UserError unless each option of a tool is large enough.

    Args:
        least: The smallest value accepted.
        numbers: Name of the option -> its value.
    """
    for name, value in numbers.items():
        if value < least:
            option = name.replace('_', '-')
            raise UserError(
                f'--{option} {value}; {least} or more is accepted.'
            )


@contextmanager
def threads_of_torch(threads: int) -> Iterator[None]:
    """Give torch this many threads while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def measured(rounds: int, threads: int) -> Iterator[None]:
    """Check two options of a tool, and print them over its tables.

    Args:
        rounds: Calls of each variant, in turns.
        threads: Of torch. With one, the CPU time of the process counts;
            with several, wall time.

    Raises:
        UserError: One is below 1.
    """
    check_least(1, rounds=rounds, threads=threads)
    with threads_of_torch(threads):
        print(f'{clock_name()}, threads: {threads}, rounds: {rounds}')
        yield


def clock_name() -> str:
    """Return what the times are, for a reader."""
    one = fitting_clock() is time.process_time
    return 'CPU time' if one else 'wall time'


def fitting_clock() -> Callable[[], float]:
    """Return what gives the time that says most, in seconds."""
    # The time of this process alone leaves out what other processes take.
    # It adds up threads and their waiting, so for several it says nothing.
    one = torch.get_num_threads() == 1
    return time.process_time if one else time.perf_counter


def _error(result: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    differences = [
        (mine - theirs).abs().max() / theirs.abs().max()
        for mine, theirs in zip(result, expected, strict=True)
    ]
    return float(torch.stack(differences).max())  # of torch: it keeps NaN
