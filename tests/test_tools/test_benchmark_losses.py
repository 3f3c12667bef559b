"""The timing of losses and steps: equal variants, all lines, no times."""

import contextlib
import io

import benchmark_losses
import pytest
import torch
from benchmark_losses import SECTIONS, benchmark

from benchmarks import steps as benchmark_steps
from benchmarks.comparison import Timing, compare, table
from kd_det.errors import UserError
from kd_det.functional import fdr_cosine_loss, sdd_loss

SDD = ['sdd_loss', 'a call of the base loss for each region']
BLOCKS = {
    'nd: N=16': [
        'nd_loss',
        'loop over samples',
        'loop over samples, class means as lists',
    ],
    'sdd: KD, N=4, K=5, R=21': SDD,
    'sdd: DKD, N=4, K=5, R=21': SDD,
    'sdd: KD, N=4, K=7, R=21': SDD,
    'sdd: DKD, N=4, K=7, R=21': SDD,
    'steps: ResNet-14 -> ResNet-8': [
        'student alone',
        'floor: plus the teacher forward pass',
        'KD',
        'DKD',
        'NKD',
        'DIST',
        'ND + KD',
        'SD-KD',
        'SD-DKD',
        'ReviewKD',
    ],
}


@pytest.fixture(scope='module')
def printed():
    """What the small benchmark prints, block by block."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        benchmark([*SECTIONS], rounds=2, threads=1, small=True)
    return out.getvalue().strip().split('\n\n')


def test_says_what_the_times_are(printed):
    assert printed[0] == 'CPU time, threads: 1, rounds: 2'


@pytest.mark.parametrize(('number', 'title'), [*enumerate(BLOCKS, 1)])
def test_every_line_is_there(printed, number, title):
    assert len(printed) == 1 + len(BLOCKS)
    first, heads, *lines = printed[number].splitlines()
    assert first.startswith(title)
    steps = title.startswith('steps')
    assert (
        heads.split()
        == (
            'ms to alone to floor error variant'
            if steps
            else 'ms ratio error variant'
        ).split()
    )
    rows = [line.split(maxsplit=4 if steps else 3) for line in lines]
    assert [row[-1] for row in rows] == BLOCKS[title]
    for *numbers, error, _ in rows:
        assert all(float(value) > 0 for value in numbers)
        assert 0 <= float(error) < 1e-5
    assert rows[0][1] == '1.00'
    if steps:
        assert rows[1][2] == '1.00'


def direction_alone(student, teacher, means, labels):
    return fdr_cosine_loss(student, means, labels)


def unweighted(student, teacher, labels, base):
    return sdd_loss(student, teacher, labels, base, beta=1.0)


def unseeded(make, *args):
    return make(*args).train()


@pytest.mark.parametrize(
    ('section', 'module', 'name', 'wrong', 'message'),
    [
        ('nd', benchmark_losses, 'nd_loss', direction_alone, 'loop over'),
        ('sdd', benchmark_losses, 'sdd_loss', unweighted, 'a call of'),
        ('steps', benchmark_steps, '_seeded', unseeded, 'KD'),
    ],
)
def test_a_wrong_variant_is_caught(
    monkeypatch, section, module, name, wrong, message
):
    monkeypatch.setattr(module, name, wrong)
    with pytest.raises(RuntimeError, match=f"'{message}.*' differs from"):
        benchmark([section], rounds=1, threads=1, small=True)


@pytest.mark.parametrize('factor', [1 + 1e-3, float('nan')])
def test_a_wrong_gradient_is_caught(factor):
    value, gradient = torch.tensor(2.0), torch.arange(3.0)
    variants = dict(
        right=lambda: (value, gradient),
        close=lambda: (value, gradient * (1 + 1e-6)),
        wrong=lambda: (value, gradient * factor),
    )
    with pytest.raises(RuntimeError, match="'wrong' differs from 'right'"):
        compare('', variants, rounds=1)
    del variants['wrong']
    assert 0 < compare('', variants, rounds=1)[1].error < 2e-6
    with pytest.raises(RuntimeError, match='but 0e\\+00 is accepted'):
        compare('', variants, rounds=1, tolerance=0)


def test_variants_take_turns():
    calls = []
    variants = {
        name: lambda name=name: calls.append(name) or (torch.ones(1),)
        for name in 'abc'
    }
    timings = compare('', variants, rounds=3)
    assert ''.join(calls) == 'abc' + 'abc' + 'cba' + 'abc'
    assert [len(timing.seconds) for timing in timings] == [3, 3, 3]


def test_ratios_are_of_the_same_round():
    first = Timing('first', (0.001, 0.004, 0.002), 0.0)
    second = Timing('second', (0.003, 0.008, 0.002), 1e-7)
    assert first.ms == 2 and second.ms == 3
    assert second.ratio(first) == 2  # the median of 3, 2 and 1
    assert table([first, second], ratio=first).splitlines() == [
        '        ms     ratio     error  variant',
        '      2.00      1.00   0.0e+00  first',
        '      3.00      2.00   1.0e-07  second',
    ]


def test_threads_are_those_of_before(capsys):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        benchmark(['nd'], rounds=1, threads=2, small=True)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert capsys.readouterr().out.startswith('wall time, threads: 2')


@pytest.mark.parametrize('name', ['rounds', 'threads'])
def test_wrong_numbers(name):
    numbers = dict(dict(rounds=1, threads=1), **{name: 0})
    with pytest.raises(UserError, match=f'--{name} 0; 1 or more'):
        benchmark(['nd'], small=True, **numbers)
