"""Parts of a step on a clock that is set by hand."""

import pytest
from torch import nn

from kd_det.benchmark.parts import REST, Parts


class Hand:
    """A clock that advances only when told to."""

    name = 'hand'

    def __init__(self):
        self.now = 0.0

    def mark(self):
        return self.now

    def seconds(self, begin, end):
        return end - begin


class Work(nn.Module):
    """A module that takes some time, with another one inside."""

    def __init__(self, clock, before, after=0, inner=None):
        super().__init__()
        self.clock, self.before, self.after = clock, before, after
        self.inner = inner

    def forward(self):
        self.clock.now += self.before
        if self.inner is not None:
            self.inner()
        self.clock.now += self.after


@pytest.fixture
def clock():
    return Hand()


def test_parts_add_up_and_do_not_overlap(clock):
    inner = Work(clock, 5)
    outer = Work(clock, 1, 2, inner)
    parts = Parts(clock)
    parts.hook(inner, 'inner')
    parts.hook(outer, 'outer')

    def step():
        clock.now += 10
        outer()
        inner()
        with parts.within('block'):
            clock.now += 100

    expected = dict(inner=10.0, outer=3.0, block=100.0)
    assert parts.measure(step) == {REST: 10.0, **expected}
    # again, and not what happened in between
    outer()
    assert parts.measure(step) == {REST: 10.0, **expected}
    assert sum(parts.measure(step).values()) == 123


def test_a_part_in_itself_is_counted_once(clock):
    inner = Work(clock, 4)
    outer = Work(clock, 1, 1, inner)
    parts = Parts(clock)
    for module in (inner, outer):
        parts.hook(module, 'same')
    assert parts.measure(outer) == {REST: 0.0, 'same': 6.0}


def test_methods(clock):
    class Optimiser:
        def step(self, seconds, more=0):
            clock.now += seconds + more
            return 'done'

    parts, optimiser = Parts(clock), Optimiser()
    parts.wrap(optimiser, 'step', 'optimiser')
    found = parts.measure(lambda: optimiser.step(1, more=2))
    assert found == {REST: 0.0, 'optimiser': 3.0}
    assert optimiser.step(1) == 'done'
