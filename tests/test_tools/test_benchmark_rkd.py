"""The benchmark of the angle loss, and the memory that it promises."""

import benchmark_rkd
import pytest
from benchmark_rkd import FORMS, benchmark, measured_peak

from kd_det.errors import UserError

OURS, PUBLISHED, DIRECT = FORMS
MIB = 2**20


def test_every_form_is_there(capsys, monkeypatch):
    monkeypatch.setattr(
        benchmark_rkd, 'measured_peak', lambda name, *_: len(name) * MIB
    )
    benchmark(rounds=2, threads=1, small=True)
    first, *blocks = capsys.readouterr().out.strip().split('\n\n')
    assert first == 'CPU time, threads: 1, rounds: 2'
    for block, size, count in zip(blocks, ['N=6, D=5', 'N=7, D=4'], [3, 2]):
        title, heads, *lines = block.splitlines()
        assert title == f'angle: {size}, forward and backward'
        assert heads.split() == ['ms', 'ratio', 'error', 'variant']
        names = [*FORMS][:count]
        rows = [line.split(maxsplit=3) for line in lines[:count]]
        assert [row[3] for row in rows] == names
        assert all(float(row[2]) < 1e-4 for row in rows)
        assert [line.split(maxsplit=5)[0] for line in lines[count:]] == [
            str(len(name)) for name in names
        ]


def test_forms_that_differ_stop_it(monkeypatch):
    monkeypatch.setitem(FORMS, PUBLISHED, lambda s, t: (s - t).square().mean())
    with pytest.raises(RuntimeError, match='as published.* differs'):
        benchmark(rounds=1, threads=1, small=True)


@pytest.mark.parametrize('name', ['rounds', 'threads'])
def test_arguments(name):
    options = {'rounds': 1, 'threads': 1, name: 0}
    with pytest.raises(UserError, match=f'--{name} 0; 1 or more'):
        benchmark(**options, small=True)


def test_memory_of_512_samples():
    """A single tensor (N, N, D) would have the whole GiB."""
    assert 10 * MIB < measured_peak(OURS, 512, 1024) < 1024 * MIB


def test_memory_is_seen():
    """Half a GiB of differences."""
    assert measured_peak(PUBLISHED, 128, 2048) > 512 * MIB
    assert measured_peak(OURS, 128, 2048) < 100 * MIB
