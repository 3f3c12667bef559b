"""MaskKDLoss against a loop over pixels."""

import math

import pytest
import torch
from razor import draw

from kd_det.errors import UserError
from kd_det.losses import MaskKDLoss

N, H, W = 3, 4, 2


def test_by_hand():
    ours, theirs = draw(N, H, W, seed=1), draw(N, H, W, seed=2)
    tau, total = 2.0, 0.0
    for s, t in zip(ours.flatten().tolist(), theirs.flatten().tolist()):
        p, q = (1 / (1 + math.exp(-z / tau)) for z in (s, t))
        total += q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
    expected = tau**2 * total / (N * H * W)
    loss = MaskKDLoss(tau=tau, loss_weight=3.0)
    assert loss(ours, theirs).item() == pytest.approx(3 * expected)
    assert loss(theirs, theirs).item() == pytest.approx(0, abs=1e-12)


def test_gradients():
    ours, theirs = draw(N, H, W, seed=1), draw(N, H, W, seed=2)
    ours.requires_grad_()
    theirs.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: MaskKDLoss()(x, theirs.detach()), ours
    )
    MaskKDLoss()(ours, theirs).backward()
    assert theirs.grad is None


def test_no_objects_and_half_precision():
    none = draw(0, H, W).requires_grad_()
    value = MaskKDLoss()(none, draw(0, H, W))
    value.backward()
    assert value == 0 and none.grad.shape == none.shape
    half = draw(N, H, W).bfloat16()
    assert MaskKDLoss()(half, half).dtype == torch.float32


def test_wrong_temperature():
    with pytest.raises(UserError, match='MaskKDLoss: tau=0'):
        MaskKDLoss(tau=0)
