"""Rows of the result table."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

import torch

from kd_det.files import atomic_write

GPU_ONLY = 'needs a GPU'


@dataclass
class Row:
    """One line of the table.

    Attributes:
        name: What was checked.
        result: The result, as text.
        tolerance: The accepted values, as text.
        passed: None if it could not be checked.
        seconds: Duration of the check.
    """

    name: str
    result: str
    tolerance: str = ''
    passed: bool | None = None
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """``pass``, ``FAIL``, or ``-`` if it was not checked."""
        return {True: 'pass', False: 'FAIL', None: '-'}[self.passed]


Check = Callable[[torch.device], Iterable[Row]]


def run(check: Check, device: torch.device) -> Iterator[Row]:
    """Yield the timed rows of a check; an exception is a failed row."""
    rows, began = iter(check(device)), time.perf_counter()
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:  # continue with the other checks
            lines = str(error).splitlines() or ['']
            name = check.__name__.removeprefix('check_')
            text = f'{type(error).__name__}: {lines[0]}'
            row = Row(name, text, passed=False)
        row.seconds = time.perf_counter() - began
        began = time.perf_counter()
        yield row


def header() -> str:
    """Return the header of the table."""
    return f'{"verdict":8} {"s":>6}  {"row":44} result (accepted)'


def line(row: Row) -> str:
    """Return a row of the table as text."""
    accepted = f' ({row.tolerance})' if row.tolerance else ''
    return (
        f'{row.verdict:8} {row.seconds:6.1f}  {row.name:44} '
        f'{row.result}{accepted}'
    )


def save(rows: list[Row], about: dict, path: str) -> None:
    """Write the table as JSON, with metadata."""
    content = dict(about, rows=[asdict(row) for row in rows])
    with atomic_write(path) as file:
        file.write(f'{json.dumps(content, indent=1)}\n'.encode())


def judged(name: str, errors: dict[str, float], limit: float) -> Row:
    """Return the row for the largest of several errors.

    Args:
        name: What was checked.
        errors: Name -> error; NaN is a failure.
        limit: Largest accepted error.
    """
    bad = [what for what, error in errors.items() if not error <= limit]
    worst = max(errors, key=lambda what: errors[what] if not bad else 0)
    text = f'{len(errors)} agree, largest {errors[worst]:.1e} in {worst}'
    if bad:
        named = ', '.join(f'{what} {errors[what]:.1e}' for what in bad[:4])
        text = f'{len(bad)} of {len(errors)} differ: {named}'
    return Row(name, text, f'{limit:.0e}', not bad)
