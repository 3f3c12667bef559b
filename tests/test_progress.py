"""Lines of a long pass where there is no terminal."""

import io

import pytest
from rich.console import Console

from kd_det import progress


@pytest.fixture
def console(monkeypatch):
    """A console of its own, and a clock that each item takes 10 s of."""

    def attach(terminal: bool) -> io.StringIO:
        file = io.StringIO()
        console = Console(file=file, force_terminal=terminal, width=60)
        times = iter(range(0, 1000, 10))
        monkeypatch.setattr(progress, 'get_console', lambda: console)
        monkeypatch.setattr(progress.time, 'monotonic', lambda: next(times))
        return file

    return attach


def test_lines_with_the_time_left(console):
    file = console(False)
    items = list('abcdefg')
    # a look at the clock before each item: the first is not done by then
    assert [*progress.track(items, 'Check', interval=30)] == items
    assert file.getvalue().splitlines() == [
        'Check: 2 of 7, 1:15 left',
        'Check: 5 of 7, 0:24 left',
    ]


def test_silent(console):
    file = console(False)
    found = progress.track(iter('ab'), 'Check', 2, silent=True, interval=0)
    assert [*found] == ['a', 'b'] and file.getvalue() == ''


def test_items_without_a_length(console):
    file = console(False)
    assert [*progress.track(iter('ab'), 'Check', 2, interval=0)] == ['a', 'b']
    assert file.getvalue() == 'Check: 1 of 2, 0:20 left\n'
