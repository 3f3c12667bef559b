"""Focal losses: values by hand, mmdet's in plain torch, gradients."""

import math

import pytest
import torch
from mmcv.ops import sigmoid_focal_loss, softmax_focal_loss
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from torch.nn import functional as F


def example(device, dtype=torch.float64):
    """Logits and labels, of which 5 is background."""
    torch.manual_seed(0)
    logits = 4 * torch.randn(12, 5, dtype=dtype)
    labels = torch.arange(12) % 6
    return logits.to(device), labels.to(device)


def test_by_hand(device):
    """p = 1/2 everywhere."""
    logits = torch.zeros(1, 2, device=device)
    label = torch.tensor([1], device=device)
    loss = sigmoid_focal_loss(logits, label, 2.0, 0.25, None, 'none')
    quarter = 0.25 * math.log(2)  # (1 - p)² · -log p
    assert loss.tolist() == [pytest.approx([0.75 * quarter, 0.25 * quarter])]
    loss = softmax_focal_loss(logits, label, 2.0, 0.25, None, 'none')
    assert loss.tolist() == pytest.approx([0.25 * quarter])


def test_weights_are_those_of_the_labels(device):
    logits, labels = example(device)
    weight = torch.arange(1.0, 6, dtype=logits.dtype, device=device)
    plain = sigmoid_focal_loss(logits, labels, 2.0, 0.25, None, 'none')
    loss = sigmoid_focal_loss(logits, labels, 2.0, 0.25, weight, 'none')
    own = torch.tensor([1, 2, 3, 4, 5, 1] * 2, device=device)[:, None]
    torch.testing.assert_close(loss, own * plain)
    labels = labels % 5
    plain = softmax_focal_loss(logits, labels, 2.0, 0.25, None, 'none')
    loss = softmax_focal_loss(logits, labels, 2.0, 0.25, weight, 'none')
    torch.testing.assert_close(loss, (labels + 1) * plain)


@pytest.mark.parametrize('reduction', ['none', 'sum', 'mean'])
def test_sigmoid_against_mmdet(device, reduction):
    logits, labels = example(device)
    onehot = F.one_hot(labels, 6)[:, :5]
    wanted = py_sigmoid_focal_loss(
        logits, onehot, gamma=1.5, alpha=0.3, reduction='none'
    )
    if reduction != 'none':
        wanted = wanted.sum() / (len(logits) if reduction == 'mean' else 1)
    loss = sigmoid_focal_loss(logits, labels, 1.5, 0.3, None, reduction)
    torch.testing.assert_close(loss, wanted)


@pytest.mark.parametrize('gamma', [0.0, 1.5, 2.0])
def test_softmax_against_the_formula(device, gamma):
    logits, labels = example(device)
    labels = labels % 5
    log_p = logits.log_softmax(1)[torch.arange(12), labels]
    wanted = -0.3 * (1 - log_p.exp()) ** gamma * log_p
    loss = softmax_focal_loss(logits, labels, gamma, 0.3, None, 'sum')
    torch.testing.assert_close(loss, wanted.sum())


def test_a_negative_label_loses_nothing(device):
    logits, labels = example(device)
    logits.requires_grad_()
    labels = torch.where(labels == 5, -1, labels)
    softmax_focal_loss(logits, labels, 2.0, 0.25, None, 'sum').backward()
    assert not logits.grad[labels < 0].any()
    assert logits.grad[labels >= 0].any(1).all()


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('loss', [sigmoid_focal_loss, softmax_focal_loss])
def test_gradient(device, loss, gamma, weighted):
    logits, labels = example(device)
    weight = torch.rand(5, dtype=logits.dtype, device=device)
    weight = weight if weighted else None
    assert torch.autograd.gradcheck(
        lambda x: loss(x, labels % 5, gamma, 0.3, weight, 'mean'),
        logits.requires_grad_(),
        fast_mode=True,
    )


def test_gradient_of_each_entry(device):
    logits, labels = example(device)
    assert torch.autograd.gradcheck(
        lambda x: sigmoid_focal_loss(x, labels, 2.0, 0.25, None, 'none'),
        logits.requires_grad_(),
        fast_mode=True,
    )


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('loss', [sigmoid_focal_loss, softmax_focal_loss])
def test_sure_logits_are_finite(device, loss, gamma):
    """p is 0 or 1 in float32."""
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], device=device)
    logits.requires_grad_()
    labels = torch.zeros(2, dtype=torch.long, device=device)
    total = loss(logits, labels, gamma, 0.25, None, 'sum')
    total.backward()
    assert total.isfinite() and total > 1
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize('loss', [sigmoid_focal_loss, softmax_focal_loss])
def test_no_rows(device, loss):
    logits = torch.zeros(0, 5, device=device, requires_grad=True)
    labels = torch.zeros(0, dtype=torch.long, device=device)
    total = loss(logits, labels, 2.0, 0.25, None, 'sum')
    total.backward()
    assert total == 0 and logits.grad.shape == (0, 5)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(device, dtype):
    logits, labels = example(device, dtype)
    wide = sigmoid_focal_loss(logits.float(), labels, 2.0, 0.25, None, 'none')
    narrow = logits.requires_grad_()
    loss = sigmoid_focal_loss(narrow, labels, 2.0, 0.25, None, 'none')
    assert torch.equal(loss, wide.to(dtype))
    loss.sum().backward()
    assert narrow.grad.dtype == dtype and narrow.grad.isfinite().all()


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_infinite_logits(device, gamma, dtype):
    """Half precision overflows: log p is then that of the least float32."""
    row = [math.inf, -math.inf]
    logits = torch.tensor([row, row[::-1]], device=device, dtype=dtype)
    logits.requires_grad_()
    labels = torch.tensor([0, 0], device=device)
    loss = sigmoid_focal_loss(logits, labels, gamma, 0.25, None, 'none')
    most = 126 * math.log(2)
    wanted = torch.tensor([[0, 0], [0.25 * most, 0.75 * most]], device=device)
    torch.testing.assert_close(loss, wanted.to(dtype))
    loss.sum().backward()
    assert logits.grad.tolist() == [[0, 0], [-0.25, 0.75]]


def test_a_nan_logit_is_not_hidden(device):
    logits, labels = example(device)
    logits[3, 2] = math.nan
    loss = sigmoid_focal_loss(logits, labels, 2.0, 0.25, None, 'none')
    assert loss.isnan().nonzero().tolist() == [[3, 2]]
