"""Distillation that drowns the task is told, once."""

import re

import pytest
import torch
from engine_toy import ToyModel, ToyPair

from kd_det.engine.hooks import LossShareHook
from kd_det.errors import UserError

HOOK = dict(type='kd_det.LossShareHook', interval=3)


class Constant(ToyPair):
    """Losses that are known: of the task 2 and 1, of distillation ``ours``."""

    def __init__(self, ours, task=(2.0, 1.0)):
        super().__init__()
        self.ours, self.task = ours, task

    def forward(self, *args, **kwargs):
        known = dict(zip(('loss_a', 'loss_b'), self.task))
        known |= {f'roi.{k}': v for k, v in self.ours(self.step).items()}
        zero = sum(p.sum() for p in self.parameters()) * 0
        self.step += 1
        return {k: zero + torch.tensor(v) for k, v in known.items()}


def told(make_runner, monkeypatch, model=Constant, hook=HOOK, **arguments):
    runner = make_runner(model=model, model_args=arguments, hooks=[hook])
    lines = []
    monkeypatch.setattr(runner.logger, 'warning', lines.append)
    runner.train()
    assert runner.iter == 16
    return [line for line in lines if 'of the total loss' in line]


def test_means_of_the_first_steps(make_runner, monkeypatch):
    """(10 + 20 + 60) / 3 = 30, beside 1 of another and 3 of the task."""

    def ours(step):
        return dict(loss_x=(10.0, 20.0, 60.0, *[0.0] * 13)[step], loss_y=1.0)

    (line,) = told(make_runner, monkeypatch, ours=ours)
    assert line.startswith('roi.loss_x is 30 and 88% of the total loss, ')
    assert 'beside loss_a 2, loss_b 1 of the task (means of 3 steps)' in line
    assert line.endswith(
        'lower model.distillers.roi.losses.loss_x.loss_weight.'
    )


@pytest.mark.parametrize(('value', 'lines'), [(11.9, 0), (12.1, 1)])
def test_four_fifths_are_the_limit(make_runner, monkeypatch, value, lines):
    found = told(
        make_runner, monkeypatch, ours=lambda step: dict(loss_x=value)
    )
    assert len(found) == lines


def test_negative_losses_count_by_their_size(make_runner, monkeypatch):
    """Halves of IE-KD cancel: 4 of 11, not 4 of 3; and -27 of 33 is told."""
    halves = dict(loss_x=4.0, loss_y=-4.0)
    assert not told(make_runner, monkeypatch, ours=lambda step: halves)
    (line,) = told(
        make_runner,
        monkeypatch,
        ours=lambda step: dict(loss_x=3.0, loss_y=-27.0),
    )
    assert line.startswith('roi.loss_y is -27 and 82% of the total loss, ')


def test_a_run_shorter_than_the_interval(make_runner, monkeypatch):
    (line,) = told(
        make_runner,
        monkeypatch,
        hook=dict(type='kd_det.LossShareHook'),
        ours=lambda step: dict(loss_x=100.0),
    )
    assert re.search('means of 16 steps', line)


def test_a_task_without_loss_is_meant(make_runner, monkeypatch):
    def ours(step):
        return dict(loss_x=100.0)

    assert not told(make_runner, monkeypatch, ours=ours, task=(0.0, 0.0))
    assert not told(make_runner, monkeypatch, ours=ours, task=())
    assert not told(make_runner, monkeypatch, model=ToyModel)


@pytest.mark.parametrize('wrong', [dict(share=1), dict(interval=0)])
def test_arguments(wrong):
    with pytest.raises(UserError, match='a share between 0 and 1'):
        LossShareHook(**wrong)
