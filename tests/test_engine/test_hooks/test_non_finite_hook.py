"""A NaN stops a run before it reaches the weights."""

import math
import os.path as osp

import pytest
import torch
from engine_toy import Kill, Killed

from kd_det.checkpoint import load_checkpoint
from kd_det.errors import UserError

HOOK = dict(type='kd_det.NonFiniteHook')
NAN, INF = math.nan, math.inf


def spoiled_with(change, at=3):
    """Return a ``spoil`` that changes the losses of one step."""

    def spoil(losses, step):
        if step == at:
            change(losses)
        return losses

    return dict(spoil=spoil)


def equal(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[key], second[key]) for key in first)


def times(name, factor):
    def change(losses):
        losses[name] = losses[name] * factor

    return change


def in_list(losses):
    losses['loss_bbox'][1] = losses['loss_bbox'][1] / 0


def emptied(losses):
    losses['loss_cls'] = losses['loss_cls'][:0]


def both(losses):
    times('loss_cls', NAN)(losses)
    in_list(losses)


@pytest.mark.parametrize(
    'change,words',
    [
        (times('loss_cls', NAN), 'loss_cls is nan,'),
        (times('loss_cls', INF), 'loss_cls is inf,'),
        (in_list, 'loss_bbox is inf,'),
        (emptied, 'loss_cls is nan,'),  # MMEngine takes its mean
        (both, 'loss_cls is nan and loss_bbox is inf,'),
    ],
)
def test_it_stops_with_the_weights_of_before(make_runner, change, words):
    killed = make_runner('killed', hooks=[Kill(2)])
    with pytest.raises(Killed):
        killed.train()
    runner = make_runner(hooks=[HOOK], model_args=spoiled_with(change))
    with pytest.raises(UserError) as caught:
        runner.train()
    message = str(caught.value)
    assert message.startswith(f'Iteration 3: {words}')
    order = list(runner.train_dataloader.sampler)
    assert ', '.join(f'{i}.jpg' for i in order[8:12]) in message
    assert f'{order[0]}.jpg' not in message.split()
    assert 'lower the learning rate' in message
    path = osp.join(runner.work_dir, 'non_finite_iter_3.pth')
    assert "'non_finite_iter_3.pth'" in message
    checkpoint = load_checkpoint(path)
    # batch statistics included: the forward of step 3 had changed them
    assert equal(checkpoint['state_dict'], killed.model.state_dict())
    moments = killed.optim_wrapper.state_dict()['state']
    for index, state in checkpoint['optimizer']['state'].items():
        assert equal(state, moments[index])
    assert checkpoint['meta']['iter'] == 2


def test_an_overflow_of_the_sum_is_told_as_such(make_runner):
    def change(losses):
        for name in ('loss_a', 'loss_b'):
            losses[name] = torch.tensor(3e38, requires_grad=True)

    runner = make_runner(hooks=[HOOK], model_args=spoiled_with(change))
    with pytest.raises(UserError, match='3: the sum of the losses'):
        runner.train()


def test_diagnostics_may_be_nan(make_runner):
    runner = make_runner(
        hooks=[HOOK], model_args=spoiled_with(times('acc', NAN))
    )
    runner.train()
    assert runner.iter == 16


def test_a_healthy_run_is_the_same_with_it(make_runner):
    states = []
    for name, hooks in (('with', [HOOK]), ('without', [])):
        runner = make_runner(name, hooks=hooks, scores=[])
        runner.train()
        states.append(runner.model.state_dict())
        assert not runner.model._forward_hooks
        assert not runner.model._forward_pre_hooks
    assert equal(*states)


def test_without_it_the_weights_are_lost(make_runner):
    runner = make_runner(model_args=spoiled_with(times('loss_cls', NAN)))
    runner.train()
    weights = runner.model.state_dict()['body.0.weight']
    assert weights.isnan().any()


def test_the_run_can_go_on_from_what_is_saved(make_runner):
    hooks = [HOOK, dict(type='kd_det.RandomStateHook')]
    runner = make_runner(
        hooks=hooks, model_args=spoiled_with(times('loss_cls', NAN))
    )
    with pytest.raises(UserError):
        runner.train()
    path = osp.join(runner.work_dir, 'non_finite_iter_3.pth')
    again = make_runner(hooks=hooks, resume=True, load_from=path)
    again.train()
    assert again.iter == 16
