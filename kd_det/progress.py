"""Progress of long loops: a bar on a terminal, lines otherwise."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich import get_console
from rich.progress import track as bar

Item = TypeVar('Item')


def track(
    items: Iterable[Item],
    what: str,
    total: int | None = None,
    silent: bool = False,
    interval: float = 20,
    in_thread: bool = True,
) -> Iterator[Item]:
    """Yield the items and show the progress and the remaining time.

    Args:
        items: Items to iterate over.
        what: Name of the loop.
        total: Number of items, for those without a length.
        silent: Whether to show nothing, as on ranks above 0.
        interval: Seconds between lines if there is no terminal.
        in_thread: Whether a thread redraws the bar; where CPU time is
            measured, it must not.
    """
    console = get_console()
    if silent or console.is_terminal:
        yield from bar(
            items, what, total, disable=silent, auto_refresh=in_thread
        )
        return
    total = len(items) if total is None else total
    began = printed = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - printed >= interval:
            printed = now
            left = round((now - began) / done * (total - done))
            console.print(
                f'{what}: {done} of {total}, {left // 60}:{left % 60:02} left',
                highlight=False,
            )
        yield item


def duration(seconds: float) -> str:
    """Format a duration: ``'45 s'``, ``'3 min 20 s'``."""
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest} s' if minutes else f'{rest} s'
