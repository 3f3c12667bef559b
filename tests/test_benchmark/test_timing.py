"""Medians, ratios within a round, and who follows whom."""

import time

import pytest
import torch

from kd_det.benchmark.timing import Clock, Times, alternate, threads_of_torch


def test_ratio_is_within_a_round():
    """By hand: 2, 4 and 1.5; the ratio of the medians would be 2.5."""
    mine, other = Times((2.0, 20.0, 15.0)), Times((1.0, 5.0, 10.0))
    assert mine.median == 15.0 and other.median == 5.0
    assert mine.ratio(other) == (2.0, 1.75, 3.0)
    assert mine.ratio(mine) == (1.0, 1.0, 1.0)


def test_quartiles():
    assert Times((1.0, 2.0, 3.0, 4.0, 5.0)).quartiles == (2.0, 4.0)
    assert Times((7.0,)).quartiles == (7.0, 7.0)


def test_rounds_that_do_not_match():
    with pytest.raises(ValueError, match='zip'):
        Times((1.0, 2.0)).ratio(Times((1.0,)))


def test_every_second_round_is_reversed():
    order = []
    runs = {
        name: lambda number, name=name: order.append((number, name)) or number
        for name in 'abc'
    }
    found = alternate(runs, 3, 'Test')
    assert ''.join(name for _, name in order) == 'abccbaabc'
    assert [number for number, _ in order] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert found == dict(a=[0, 1, 2], b=[0, 1, 2], c=[0, 1, 2])


def test_one_thread_counts_cpu_time():
    """Which does not go on while the process sleeps."""
    with threads_of_torch(1):
        clock = Clock()
    begin = clock.mark()
    time.sleep(0.2)
    assert clock.seconds(begin, clock.mark()) < 0.2
    assert clock.name == 'CPU time'


def test_several_threads_count_wall_time():
    before = torch.get_num_threads()
    with threads_of_torch(2):
        clock = Clock()
    assert torch.get_num_threads() == before
    begin = clock.mark()
    time.sleep(0.05)
    assert clock.seconds(begin, clock.mark()) >= 0.05
    assert clock.name == 'wall time'
