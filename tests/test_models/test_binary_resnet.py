"""The binary ResNet against loops, and its estimators' gradients."""

import numpy as np
import pytest
import torch

from kd_det.models.backbones import BinaryResNet
from kd_det.models.backbones.binary_resnet import (
    BinaryConv2d,
    BinarySign,
    BinaryWeight,
)


def naive(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    sign = np.where(weight >= 0, 1.0, -1.0)
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    side = (x.shape[2] - 1) // stride + 1
    out = np.zeros((len(x), len(weight), side, side))
    for n, k, row, col in np.ndindex(*out.shape):
        top, left = row * stride, col * stride
        patch = padded[n, :, top : top + 3, left : left + 3]
        out[n, k, row, col] = np.abs(weight[k]).mean() * np.sum(
            patch * sign[k]
        )
    return out


@pytest.mark.parametrize('stride', [1, 2])
def test_binary_convolution_is_that_of_the_formula(stride):
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 4, 3, stride, 1, bias=False).double()
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    signs = BinarySign.apply(x)
    expected = naive(
        np.where(x.numpy() >= 0, 1.0, -1.0),
        layer.weight.detach().numpy(),
        stride,
    )
    found = layer(signs).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_gradients_of_the_estimators():
    x = torch.tensor([-1.5, -1.0, 0.0, 0.3, 1.0, 1.1], requires_grad=True)
    out = BinarySign.apply(x)
    assert out.tolist() == [-1, -1, 1, 1, 1, 1]
    out.backward(torch.arange(1.0, 7))
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 0]
    weight = torch.randn(2, 3, 3, 3, requires_grad=True)
    gradient = torch.randn(2, 3, 3, 3)
    BinaryWeight.apply(weight).backward(gradient)
    assert torch.equal(weight.grad, gradient)


def test_a_nan_stays():
    x = torch.tensor([1.0, float('nan')])
    assert BinarySign.apply(x).isnan().tolist() == [False, True]


def test_weights_have_two_values_a_filter_and_the_rest_is_real():
    network = BinaryResNet()
    layers = [m for m in network.modules() if isinstance(m, BinaryConv2d)]
    assert len(layers) == 16
    for layer in layers:
        for row in BinaryWeight.apply(layer.weight):
            low, high = row.unique().tolist()
            assert low == -high < 0
    real = [
        tuple(m.kernel_size)
        for m in network.modules()
        if type(m) is torch.nn.Conv2d
    ]
    assert real == [(7, 7), (1, 1), (1, 1), (1, 1)]


def test_state_dict_holds_the_real_weights():
    network, other = BinaryResNet().eval(), BinaryResNet().eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    images = torch.randn(2, 3, 32, 32)
    (expected,) = network(images)
    after = network.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    other.load_state_dict(before)
    assert torch.equal(other(images)[0], expected)
    assert before['layer1.0.conv.weight'].unique().numel() > 1000


def test_half_precision():
    network = BinaryResNet()
    with torch.autocast('cpu', torch.bfloat16):
        (last,) = network(torch.randn(2, 3, 64, 64))
    last.float().sum().backward()
    weight = network.layer4[3].conv.weight
    assert weight.dtype == weight.grad.dtype == torch.float32
    assert last.isfinite().all() and weight.grad.isfinite().all()
