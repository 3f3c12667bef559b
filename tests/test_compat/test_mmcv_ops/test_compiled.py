"""Ours are MMCV's compiled operators, where those are installed.

On a CPU those that MMCV has for a CPU; the others on a GPU.
"""

import importlib
import pkgutil

import mmcv._ext
import mmcv.ops
import pytest
import torch
from mmcv.ops import (
    deform_conv2d,
    modulated_deform_conv2d,
    nms,
    nms_match,
    roi_align,
    roi_pool,
    sigmoid_focal_loss,
    soft_nms,
    softmax_focal_loss,
)
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

if not hasattr(mmcv._ext, '__file__'):
    pytest.skip('MMCV was not compiled here', allow_module_level=True)

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
DTYPES = (torch.float32, torch.float64)


@pytest.fixture
def compiled(ours, monkeypatch):
    """A function that calls another on MMCV's compiled operators."""

    def call(function, *args):
        with monkeypatch.context() as patch:
            for info in pkgutil.iter_modules(mmcv.ops.__path__, 'mmcv.ops.'):
                module = importlib.import_module(info.name)
                if hasattr(module, 'ext_module'):
                    patch.setattr(module, 'ext_module', mmcv._ext)
            return function(*args)

    return call


@pytest.fixture
def same(compiled):
    """A function that compares outputs and gradients of the two."""

    def run(function, *inputs):
        inputs = [tensor.clone().requires_grad_() for tensor in inputs]
        output = function(*inputs)
        weight = torch.linspace(-1, 2, output.numel()).view(output.shape)
        (output * weight.to(output)).sum().backward()
        return [output.detach(), *(tensor.grad for tensor in inputs)]

    def check(function, *inputs, **tolerance):
        ours = run(function, *inputs)
        for mine, theirs in zip(ours, compiled(run, function, *inputs)):
            torch.testing.assert_close(mine, theirs, **tolerance)

    return check


def boxes(seed, levels=20):
    """Boxes that overlap much, with scores of which many are equal."""
    make = torch.Generator().manual_seed(seed)
    low = torch.randint(0, 60, (300, 2), generator=make).float()
    size = torch.randint(1, 40, (300, 2), generator=make).float()
    scores = torch.randint(1, levels, (300,), generator=make) / levels
    return torch.cat((low, low + size), 1), scores


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('seed', range(3))
def test_nms(compiled, device, seed, offset):
    rows, scores = boxes(seed, 10**6)  # no ties: MMCV's sort is unstable
    for threshold in (0.3, 0.5, 0.7):
        args = (rows.to(device), scores.to(device), threshold, offset)
        assert torch.equal(nms(*args)[1], compiled(nms, *args)[1])


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('seed', range(3))
def test_soft_nms(compiled, seed, method, offset):
    for threshold, least in ((0.3, 1e-3), (0.5, 0.2), (0.5, 0.0)):
        args = (*boxes(seed), threshold, 0.5, least, method, offset)
        dets, index = soft_nms(*args)
        wanted, order = compiled(soft_nms, *args)
        assert torch.equal(index, order)
        torch.testing.assert_close(dets, wanted, rtol=1e-5, atol=0)


@pytest.mark.parametrize('seed', range(3))
def test_nms_match(compiled, seed):
    rows, scores = boxes(seed, 10**6)
    dets = torch.cat((rows, scores[:, None]), 1)
    for threshold in (0.3, 0.5, 0.7):
        groups = nms_match(dets, threshold)
        wanted = compiled(nms_match, dets, threshold)
        assert [g.tolist() for g in groups] == [g.tolist() for g in wanted]


def regions(dtype):
    """A map of two images, and RoIs inside, across and beyond its border."""
    torch.manual_seed(0)
    rois = [
        [0, 1.3, 2.1, 7.9, 8.2],
        [1, -5.0, -3.0, 6.1, 4.4],
        [1, 3.2, 3.3, 30.0, 20.0],
        [0, 2.0, 2.0, 2.7, 9.5],
        [1, 40.0, 40.0, 50.0, 50.0],
        [1, 0.0, 0.0, 14.0, 10.0],
    ]
    return torch.randn(2, 3, 5, 7, dtype=dtype), torch.tensor(rois).to(dtype)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align(same, device, mode, ratio, aligned, dtype):
    feats, rois = (tensor.to(device) for tensor in regions(dtype))
    same(
        lambda x: roi_align(x, rois, (3, 2), 0.5, ratio, mode, aligned), feats
    )


@gpu
@pytest.mark.parametrize('dtype', DTYPES)
def test_roi_pool(same, dtype):
    feats, rois = (tensor.cuda() for tensor in regions(dtype))
    same(lambda x: roi_pool(x, rois, 3, 0.5), feats)


CONVOLUTIONS = [  # stride, padding, dilation, groups, deform_groups
    (1, 1, 1, 1, 1),
    (2, 1, 1, 2, 1),
    (1, 2, 2, 1, 2),
    ((2, 1), (0, 1), (1, 2), 2, 2),
]


def convolution(settings, dtype, device):
    """Input, shift, mask and weight for them."""
    torch.manual_seed(0)
    stride, padding, dilation, groups, shifted = settings
    feats = torch.randn(4, 8, 7, 9)
    weight = torch.randn(6, 8 // groups, 3, 3)
    size = torch.nn.functional.conv2d(
        feats, weight, None, stride, padding, dilation, groups
    ).shape[2:]
    offset = torch.randn(4, shifted * 18, *size)
    mask = torch.rand(4, shifted * 9, *size)
    return [t.to(device, dtype) for t in (feats, offset, mask, weight)]


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('step', [1, 2, 32])
@pytest.mark.parametrize('settings', CONVOLUTIONS)
def test_deform_conv(same, device, settings, step, dtype):
    feats, offset, _, weight = convolution(settings, dtype, device)
    same(
        lambda x, o, w: deform_conv2d(x, o, w, *settings, False, step),
        feats,
        offset,
        weight,
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('settings', CONVOLUTIONS)
def test_modulated_deform_conv(same, device, settings, bias, dtype):
    inputs = convolution(settings, dtype, device)
    if bias:
        inputs.append(torch.randn(6, dtype=dtype, device=device))

    def run(feats, offset, mask, weight, bias=None):
        return modulated_deform_conv2d(
            feats, offset, mask, weight, bias, *settings
        )

    same(run, *inputs, rtol=1e-4, atol=1e-4)


@gpu
@pytest.mark.parametrize('loss', [sigmoid_focal_loss, softmax_focal_loss])
@pytest.mark.parametrize('weighted', [True, False])
@pytest.mark.parametrize('dtype', DTYPES)
def test_focal_losses(same, dtype, weighted, loss):
    torch.manual_seed(0)
    logits = torch.randn(20, 5, dtype=dtype).cuda() * 4
    labels = torch.randint(0, 5, (20,)).cuda()
    weight = torch.rand(5, dtype=dtype).cuda() if weighted else None
    same(lambda x: loss(x, labels, 2.0, 0.25, weight, 'mean'), logits)


@gpu
@pytest.mark.parametrize('dtype', DTYPES)
def test_attention(same, dtype):
    torch.manual_seed(0)
    shapes = torch.tensor([[6, 4], [3, 2]]).cuda()
    start = torch.tensor([0, 24]).cuda()
    inputs = [
        torch.randn(2, 30, 2, 4, dtype=dtype),
        torch.rand(2, 5, 2, 2, 3, 2, dtype=dtype) * 1.2 - 0.1,
        torch.rand(2, 5, 2, 2, 3, dtype=dtype),
    ]
    same(
        lambda v, at, w: MultiScaleDeformableAttnFunction.apply(
            v, shapes, start, at, w, 64
        ),
        *(tensor.cuda() for tensor in inputs),
        rtol=1e-4,
        atol=1e-4,
    )
