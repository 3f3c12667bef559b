"""The check of a GPU, on a CPU: it runs, and each part of it can fail."""

import json
import logging
import warnings

import pytest
import torch
from torch import nn

from kd_det import functional, gpu_check, losses
from kd_det.cli import main
from kd_det.gpu_check import cases, operators, rows, steps
from kd_det.gpu_check import losses as of_losses
from kd_det.losses import DistillLoss

CPU = torch.device('cpu')


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """What the command sets for its process."""
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    with warnings.catch_warnings():
        yield
    logging.disable(logging.NOTSET)


def command(*words):
    """Run the command; return its exit code."""
    with pytest.raises(SystemExit) as end:
        main('check-gpu', words)
    return end.value.code


def test_everything(tmp_path, capsys):
    out = tmp_path / 'table.json'
    assert command('--device', 'cpu', '--out', str(out)) == 0
    text = capsys.readouterr().out
    table = json.loads(out.read_text())
    assert table['device'] == 'CPU' and table['torch'] == torch.__version__
    verdicts = {row['name']: row['passed'] for row in table['rows']}
    for name, passed in verdicts.items():
        gpu_only = name.startswith(('memory', 'step time'))
        assert passed is (None if gpu_only else True), name
        assert name in text
    assert len(verdicts) == len(table['rows']) == 26
    # what the libraries print is left out
    assert len(text.splitlines()) == len(verdicts) + 3
    assert text.endswith('26 rows: 0 failed, 6 need a GPU\n')


def test_a_loss_that_differs_fails_the_command(monkeypatch, capsys):
    def wrong(student_logits, teacher_logits):
        value = functional.kd_loss(student_logits, teacher_logits)
        return value * (1.001 if value.dtype == torch.float32 else 1)

    monkeypatch.setattr(gpu_check, 'CHECKS', (gpu_check.check_losses,))
    monkeypatch.setattr(of_losses, 'modules', dict)
    monkeypatch.setattr(
        of_losses,
        'functions',
        lambda: dict(right=functional.nd_loss, wrong=wrong),
    )
    monkeypatch.setattr(of_losses, 'judged', judged_if_any)
    assert command('--device', 'cpu') == 1
    text = capsys.readouterr().out
    assert '1 of 2 differ: wrong 1.0e-03' in text
    assert text.endswith('8 rows: 1 failed\n')


def judged_if_any(name, errors, limit):
    return rows.judged(name, errors or dict(none=0.0), limit)


def test_no_gpu(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert command() == 2
    assert '--device cpu' in capsys.readouterr().err


def test_an_exception_is_a_failed_row():
    def check_something(device):
        yield rows.Row('first', 'fine', passed=True)
        raise RuntimeError('out of memory\nand more')

    found = [*rows.run(check_something, CPU)]
    assert [row.verdict for row in found] == ['pass', 'FAIL']
    assert found[1].name == 'something'
    assert found[1].result == 'RuntimeError: out of memory'


@pytest.mark.parametrize('error', [2e-4, float('nan'), float('inf')])
def test_an_error_over_the_limit(error):
    row = rows.judged('name', dict(a=0.0, b=error), 1e-4)
    assert row.passed is False and '1 of 2 differ: b' in row.result
    assert rows.judged('name', dict(a=0.0, b=1e-4), 1e-4).passed


def test_every_function_and_loss_is_tried():
    assert {*cases.functions()} == {*functional.__all__}
    assert {*cases.modules()} == {*losses.__all__} - {*cases.ABSTRACT}
    for name in cases.ABSTRACT:
        assert issubclass(getattr(losses, name), DistillLoss)


def test_every_loss_gets_a_gradient():
    given = cases.inputs()
    for name, loss in cases.modules().items():
        taken = {
            k: cases.placed(v, CPU, torch.float64)
            for k, v in cases.arguments(loss, given).items()
        }
        leaves = cases.trained(taken)
        assert leaves, name
        for leaf in leaves:
            leaf.requires_grad_()
        loss.double()(**taken).backward()
        grads = [leaf.grad for leaf in leaves if leaf.grad is not None]
        assert any(grad.abs().sum() > 0 for grad in grads), name


class Infinite(nn.Module):
    def forward(self, student_embed):
        half = student_embed.dtype == torch.float16
        return student_embed.sum() / (0 if half else 1)


def test_an_infinite_loss_is_an_error():
    assert of_losses.error(Infinite(), CPU, torch.float16) == float('inf')
    assert of_losses.error(Infinite(), CPU, torch.float32) < 1e-6


def test_an_operator_that_differs(monkeypatch):
    given = torch.rand(4)
    calls = []

    def drifting(device):
        calls.append(device)
        return [given.double() + len(calls) * 1e-3]

    monkeypatch.setattr(
        operators, '_operators', lambda ops: dict(drifting=drifting)
    )
    (row,) = operators.check_operators(CPU)
    assert row.passed is False and 'drifting' in row.result


def test_a_pair_that_waits_more(monkeypatch):
    plain = steps._waits

    def more(of, method):
        found = plain(of, None)
        if method == 'ND':
            found['kd_det/losses/nd.py:1'] += 1
        return found

    monkeypatch.setattr(steps, '_waits', more)
    found = {row.name: row for row in steps.check_waits(CPU)}
    assert found['waits, KD'].passed
    assert not found['waits, ND'].passed
    assert 'more: 1 in kd_det/losses/nd.py:1' in found['waits, ND'].result


def test_ratios_are_judged_on_a_gpu():
    times = {steps.ALONE: [10.0, 20.0], 'floor': [20.0, 30.0]}
    slow = steps._time('KD', times | dict(KD=[30.0, 45.0]), judge=True)
    assert slow.passed is False and slow.result.startswith('2.62 of the 15 ms')
    assert steps._time('KD', times | dict(KD=[21.0, 31.0]), True).passed
    assert (
        steps._time('KD', times | dict(KD=[30.0, 45.0]), False).passed is None
    )
    peaks = {steps.ALONE: 100.0, 'KD': 210.0, 'ND': 190.0}
    assert steps._memory('KD', peaks).passed is False
    assert steps._memory('ND', peaks).passed
