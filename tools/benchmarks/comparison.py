"""Compare results and timing of equivalent computations."""

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

# relative to the largest entry: rounding of float32 sums
TOLERANCE = 1e-5

Variant = Callable[[], Sequence[Tensor]]


@dataclass(frozen=True)
class Timing:
    """Timing of one variant.

    Attributes:
        variant: Name of the variant.
        seconds: Seconds of each round.
        error: Largest difference from the first variant's results, relative to
            their largest entry.
    """

    variant: str
    seconds: tuple[float, ...]
    error: float

    @property
    def ms(self) -> float:
        """The median round, in milliseconds."""
        return 1000 * median(self.seconds)

    def ratio(self, other: 'Timing') -> float:
        """Return the median over rounds of the ratio to another timing.

        The two times of a round are measured shortly after each other, so that
        a slow machine affects both.
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
    """Check that variants are equivalent, then time them alternately.

    Every second round runs in reverse order, so that no variant always follows
    the same other variant.

    Args:
        title: Title of the progress bar.
        variants: Name -> function that returns its results.
        rounds: Timed calls of each variant, after one warm-up call.
        tolerance: Largest accepted ``Timing.error``.
        clock: Function that returns the time in seconds; default:
            :func:`fitting_clock`.

    Raises:
        RuntimeError: A variant differs from the first one.
    """
    results = {name: run() for name, run in variants.items()}
    first, expected = next(iter(results.items()))
    errors = {}
    for name, result in results.items():
        errors[name] = error = _error(result, expected)
        if not error <= tolerance:  # also for NaN
            raise RuntimeError(
                f'{title}: {name!r} differs from {first!r} by {error:.1e} of '
                f'the largest entry, but {tolerance:.0e} is accepted; make '
                'them equivalent before comparing their times.'
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
        auto_refresh=False,  # by a thread whose time would be included
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
    """Format timings as a table.

    Args:
        timings: The rows.
        references: Column heading -> reference of its ratios.
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
    """Raise a UserError if an option is too small.

    Args:
        least: Smallest accepted value.
        numbers: Option name -> value.
    """
    for name, value in numbers.items():
        if value < least:
            option = name.replace('_', '-')
            raise UserError(
                f'--{option} {value}; {least} or more is accepted.'
            )


@contextmanager
def threads_of_torch(threads: int) -> Iterator[None]:
    """Set the number of torch threads within a block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def measured(rounds: int, threads: int) -> Iterator[None]:
    """Check and print the options of a benchmark.

    Args:
        rounds: Calls of each variant.
        threads: Number of torch threads. With one, CPU time is measured; with
            several, wall-clock time.

    Raises:
        UserError: One is below 1.
    """
    check_least(1, rounds=rounds, threads=threads)
    with threads_of_torch(threads):
        print(f'{clock_name()}, threads: {threads}, rounds: {rounds}')
        yield


def clock_name() -> str:
    """Return the name of the clock."""
    one = fitting_clock() is time.process_time
    return 'CPU time' if one else 'wall time'


def fitting_clock() -> Callable[[], float]:
    """Return the appropriate clock, in seconds."""
    # CPU time excludes other processes, but adds up threads and their waiting,
    # so it is only meaningful for one thread.
    one = torch.get_num_threads() == 1
    return time.process_time if one else time.perf_counter


def _error(result: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    differences = [
        (mine - theirs).abs().max() / theirs.abs().max()
        for mine, theirs in zip(result, expected, strict=True)
    ]
    return float(torch.stack(differences).max())  # torch's max propagates NaN
