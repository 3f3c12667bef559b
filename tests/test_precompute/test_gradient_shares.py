"""Norms and cosines of gradients, against backward passes one by one."""

import math

import ie_toy as toy
import pytest
import share_toy
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from kd_det.errors import UserError
from kd_det.precompute.gradient_shares import gradient_shares, step_shares


def losses_of(model, data):
    torch.manual_seed(3)
    return model(**model.data_preprocessor(data, True), mode='loss')


def gradients(folder, keys, **kwargs):
    """Gradients in float64 of a pair built for this alone: name -> list."""
    model = toy.build(share_toy.pair(folder, **kwargs))
    losses = losses_of(model, toy.batch())
    sum(losses[key] for key in keys).backward()
    return {
        name: weight.grad.double().flatten().tolist()
        for name, weight in model.student.named_parameters()
        if weight.grad is not None
    }


def dot(first, second):
    """Of what both have, term by term."""
    return math.fsum(
        x * y
        for name in {*first} & {*second}
        for x, y in zip(first[name], second[name])
    )


def restricted(first, second):
    return {name: first[name] for name in first if name in second}


@pytest.mark.parametrize('frozen', [(), ('stem', 'layer1')])
def test_norms_and_cosines(tmp_path, frozen):
    model = toy.build(share_toy.pair(tmp_path))
    for name, weight in model.student.named_parameters():
        weight.requires_grad = not any(part in name for part in frozen)
    found = step_shares(model, losses_of(model, toy.batch()))
    assert set(found) == set(share_toy.KEYS)
    task = gradients(tmp_path, ['loss_task'])
    for key in share_toy.KEYS:
        own = gradients(tmp_path, [key])
        own = {k: v for k, v in own.items() if not any(p in k for p in frozen)}
        beside = restricted(task, own)
        norm = math.sqrt(dot(own, own))
        size = math.sqrt(dot(beside, beside))
        share = found[key]
        assert share.norm == pytest.approx(norm, rel=1e-5)
        assert share.task == pytest.approx(size, rel=1e-5)
        assert share.share == pytest.approx(norm / size, rel=1e-5)
        assert share.cosine == pytest.approx(
            dot(own, beside) / norm / size, abs=1e-5
        )
    # features do not reach the class layer, and the task there is large
    assert 'head.fc.weight' not in gradients(tmp_path, ['logit.loss_fm'])
    assert found['logit.loss_fm'].task < found['logit.loss_kd'].task


def test_nothing_is_left_behind(tmp_path):
    """No gradient, no buffer, no random number; the backward is the same."""
    both = []
    for measured in (False, True):
        model = toy.build(share_toy.pair(tmp_path))
        losses = losses_of(model, toy.batch())
        if measured:
            step_shares(model, losses)
            assert all(p.grad is None for p in model.parameters())
        drawn = torch.rand(())
        model.parse_losses(losses)[0].backward()
        grads = [p.grad for p in model.parameters()]
        both.append([drawn, *model.buffers(), *grads])
    assert all(map(torch.equal, *both))


def test_a_loss_apart_from_the_task_is_left_out():
    shared, own = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(1))
    task = (3 * shared).sum()
    losses = dict(
        apart=own.sum(), fixed=torch.ones(()), turned=-(4 * shared).sum()
    )
    found = gradient_shares(task, losses, [shared, own])
    assert [*found] == ['turned']
    assert found['turned'].share == pytest.approx(4 / 3)
    assert found['turned'].cosine == pytest.approx(-1)
    shared.requires_grad = False
    task = (3 * own).sum()
    assert (
        gradient_shares(task, dict(a=own.sum()), [shared, own])['a'].task == 3
    )


def test_half_precision_is_scaled_and_unscaled():
    """Gradients of 1e-9 vanish in float16; too large a scale is lowered."""
    torch.manual_seed(0)
    layer = nn.Linear(8, 8)
    x = torch.randn(16, 8)

    def losses(dtype):
        with torch.autocast('cpu', dtype, enabled=dtype is not None):
            out = layer(x)
        return out.float().square().mean() * 1e-6, out.float().sum() * 1e-9

    def found(dtype, scale):
        task, own = losses(dtype)
        with torch.autocast('cpu', torch.float16):  # as within a step
            return gradient_shares(
                task, dict(a=own), [*layer.parameters()], scale
            )['a']

    exact = found(None, 1.0)
    assert found(torch.float16, 1.0).norm == 0
    for scale in (2.0**20, 2.0**60):
        half = found(torch.float16, scale)
        assert half.norm == pytest.approx(exact.norm, rel=1e-2)
        assert half.task == pytest.approx(exact.task, rel=1e-2)
        assert half.cosine == pytest.approx(exact.cosine, abs=1e-2)


@pytest.mark.parametrize('reentrant', [False, True])
def test_a_student_that_runs_its_blocks_twice(tmp_path, reentrant):
    """Running statistics count the batch as often as without measuring."""

    def build(measured):
        model = toy.build(share_toy.pair(tmp_path))
        block = model.student.backbone.layer2
        plain = block.forward
        block.forward = lambda x: checkpoint(plain, x, use_reentrant=reentrant)
        losses = losses_of(model, toy.batch())
        found = step_shares(model, losses) if measured else None
        model.parse_losses(losses)[0].backward()
        return [*model.buffers()], found

    if reentrant:
        with pytest.raises(UserError, match='set with_cp=False'):
            build(True)
        return
    before, _ = build(False)
    after, found = build(True)
    assert all(map(torch.equal, before, after))
    model = toy.build(share_toy.pair(tmp_path))
    expected = step_shares(model, losses_of(model, toy.batch()))
    for key, share in expected.items():
        assert found[key].share == pytest.approx(share.share, rel=1e-6)
