"""One line: how often, and whether its time left is right."""

import io
import re

import pytest
from rich.console import Console

from kd_det.engine.hooks import ProgressHook, progress_hook


class Clock:
    """Every look at it takes ten seconds."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        self.now += 10
        return self.now


@pytest.fixture
def printed(monkeypatch):
    def attach(terminal: bool) -> io.StringIO:
        file = io.StringIO()
        console = Console(file=file, force_terminal=terminal, width=60)
        monkeypatch.setattr(progress_hook, 'get_console', lambda: console)
        monkeypatch.setattr(progress_hook.time, 'monotonic', Clock())
        return file

    return attach


def test_lines_come_at_intervals(make_runner, printed):
    file = printed(terminal=False)
    make_runner(hooks=[ProgressHook(interval=30)]).train()
    lines = file.getvalue().splitlines()
    steps = [*range(3, 16, 3), 16]
    assert len(lines) == len(steps)
    for line, step in zip(lines, steps):
        left = 10 * (16 - step)
        text = f'step {step} of 16, loss '
        assert line.strip().startswith(text)
        assert re.fullmatch(r'\d+\.\d\d', line.split('loss ')[1].split(',')[0])
        assert line.rstrip().endswith(f', {left // 60}:{left % 60:02} left')


def test_terminal_rewrites_one_line(make_runner, printed):
    file = printed(terminal=True)
    make_runner(hooks=[ProgressHook(interval=1e9)]).train()
    text = file.getvalue()
    assert text.count('\n') == 1 and text.endswith('\n')
    assert text.count('\r') == 15
    assert text.count('of 16') == 16


def test_resumed_run_counts_its_own_pace(make_runner, printed):
    saver = dict(type='CheckpointHook', interval=1)
    make_runner(
        checkpoint=saver, train=dict(by_epoch=True, max_epochs=2)
    ).train()
    file = printed(terminal=False)
    make_runner(
        checkpoint=saver, hooks=[ProgressHook(interval=0)], resume=True
    ).train()
    lines = file.getvalue().splitlines()
    assert len(lines) == 8
    assert 'step 9 of 16' in lines[0] and '1:10 left' in lines[0]
