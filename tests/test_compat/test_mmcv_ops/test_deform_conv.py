"""Deformable convolution: shifts by hand, an oracle in loops, gradients."""

import itertools
import math

import pytest
import torch
from mmcv.ops import (
    DeformConv2dPack,
    ModulatedDeformConv2dPack,
    deform_conv2d,
    modulated_deform_conv2d,
)
from torch.nn import functional as F

SETTINGS = [  # stride, padding, dilation, groups, deform_groups
    (1, 1, 1, 1, 1),
    ((2, 1), (0, 1), (1, 2), 2, 2),
]


def example(settings, dtype=torch.float64, device='cpu'):
    """Input, shifts that reach beyond the map, mask, weight, bias."""
    torch.manual_seed(0)
    stride, padding, dilation, groups, shifted = settings
    feats = torch.randn(2, 4, 4, 5)
    weight = torch.randn(4, 4 // groups, 3, 3)
    size = F.conv2d(
        feats, weight, None, stride, padding, dilation, groups
    ).shape[2:]
    offset = 1.7 * torch.randn(2, shifted * 18, *size)
    mask = torch.rand(2, shifted * 9, *size)
    tensors = feats, offset, mask, weight, torch.randn(4)
    return [tensor.to(device, dtype) for tensor in tensors]


def test_no_shift_is_a_convolution(device):
    for settings in SETTINGS:
        feats, offset, mask, weight, bias = example(settings, device=device)
        stride, padding, dilation, groups, _ = settings
        args = (stride, padding, dilation, groups)
        torch.testing.assert_close(
            deform_conv2d(feats, offset * 0, weight, *settings),
            F.conv2d(feats, weight, None, *args),
        )
        ones = torch.ones_like(mask)
        torch.testing.assert_close(
            modulated_deform_conv2d(
                feats, offset * 0, ones, weight, bias, *settings
            ),
            F.conv2d(feats, weight, bias, *args),
        )


@pytest.mark.parametrize(
    ('shift', 'value'),
    [
        ((0, 1), 6.0),  # y, x: one cell to the right of 5
        ((1, 0), 9.0),
        ((0.5, -0.5), 6.5),  # among 4, 5, 8, 9
        ((0, 2.5), 3.5),  # half of the last cell, 7, and half of nothing
        ((0, 3), 0.0),
    ],
)
def test_a_shift_by_hand(device, shift, value):
    """One tap at cell (1, 1), 5, of a map 4 y + x."""
    feats = torch.arange(16.0, device=device).view(1, 1, 4, 4)
    offset = torch.zeros(1, 2, 4, 4, device=device)
    offset[0, :, 1, 1] = torch.tensor(shift)
    weight = torch.ones(1, 1, 1, 1, device=device)
    assert deform_conv2d(feats, offset, weight)[0, 0, 1, 1] == value
    half = torch.full((1, 1, 4, 4), 0.5, device=device)
    output = modulated_deform_conv2d(
        feats, offset, half, weight, weight.flatten()
    )
    assert output[0, 0, 1, 1] == value / 2 + 1


def value_at(cells, y, x):
    """Bilinear, among zeros; the cells are lists."""
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < len(cells) and 0 <= column < len(cells[0]):
                near = (1 - abs(y - row)) * (1 - abs(x - column))
                total += near * cells[row][column]
    return total


def oracle(feats, offset, mask, weight, settings):
    """The sum over channels and taps, one place after the other."""
    stride, padding, dilation = (
        (value, value) if isinstance(value, int) else value
        for value in settings[:3]
    )
    groups, shifted = settings[3:]
    number, channels = feats.shape[:2]
    filters, depth, high, wide = weight.shape
    output = feats.new_zeros(number, filters, *offset.shape[2:])
    cells = feats.tolist()
    for n, f, y, x in itertools.product(*map(range, output.shape)):
        for c, i, j in itertools.product(range(depth), range(3), range(3)):
            channel = f // (filters // groups) * depth + c
            tap = channel // (channels // shifted) * 9 + i * 3 + j
            down, right = offset[n, 2 * tap : 2 * tap + 2, y, x].tolist()
            value = value_at(
                cells[n][channel],
                y * stride[0] - padding[0] + i * dilation[0] + down,
                x * stride[1] - padding[1] + j * dilation[1] + right,
            )
            output[n, f, y, x] += (
                weight[f, c, i, j] * value * mask[n, tap, y, x]
            )
    return output


@pytest.mark.parametrize('settings', SETTINGS)
def test_against_loops(device, settings):
    feats, offset, mask, weight, _ = example(settings)
    own = [t.to(device) for t in (feats, offset, mask, weight)]
    torch.testing.assert_close(
        modulated_deform_conv2d(*own, None, *settings).cpu(),
        oracle(feats, offset, mask, weight, settings),
    )
    mask = torch.ones_like(mask)
    torch.testing.assert_close(
        deform_conv2d(own[0], own[1], own[3], *settings).cpu(),
        oracle(feats, offset, mask, weight, settings),
    )


@pytest.mark.parametrize('settings', SETTINGS)
def test_gradient(device, settings):
    tensors = [t.requires_grad_() for t in example(settings, device=device)]
    assert torch.autograd.gradcheck(
        lambda *inputs: modulated_deform_conv2d(*inputs, *settings),
        tensors,
        fast_mode=True,
    )
    feats, offset, _, weight, _ = tensors
    # with all, and with nothing but the weight to train
    for inputs in (
        (feats, offset, weight),
        (feats.detach(), offset.detach(), weight),
    ):
        assert torch.autograd.gradcheck(
            lambda *inputs: deform_conv2d(*inputs, *settings),
            inputs,
            fast_mode=True,
        )


def test_a_graph_is_used_twice():
    """The weight's gradient is that of the last, and none is left over."""
    feats, offset, _, weight, _ = example(SETTINGS[0])
    inputs = [feats.requires_grad_(), weight.requires_grad_()]
    output = deform_conv2d(feats, offset, weight, *SETTINGS[0])
    first = torch.autograd.grad(output.sum(), inputs, retain_graph=True)
    second = torch.autograd.grad(3 * output.sum(), inputs)
    for one, three in zip(first, second):
        torch.testing.assert_close(3 * one, three)


def test_steps_of_images_change_nothing(device):
    feats, offset, _, weight, _ = example(SETTINGS[0], device=device)
    outputs = [
        deform_conv2d(feats, offset, weight, *SETTINGS[0], False, step)
        for step in (1, 2, 32)
    ]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize('kind', [DeformConv2dPack, ModulatedDeformConv2dPack])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_autocast(device, kind, dtype):
    """The output has the shifts' dtype, which autocast makes a half."""
    torch.manual_seed(0)
    layer = kind(4, 6, 3, padding=1, deform_groups=2).to(device)
    feats = torch.randn(2, 4, 6, 6, device=device, requires_grad=True)
    wanted = layer(feats)
    with torch.autocast(device, dtype):
        output = layer(feats)
    assert output.dtype == dtype
    torch.testing.assert_close(output.float(), wanted, rtol=0.02, atol=0.02)
    output.float().sum().backward()
    assert feats.grad.dtype == torch.float32
    for name, parameter in layer.named_parameters():
        assert parameter.grad.dtype == torch.float32, name
        assert parameter.grad.isfinite().all(), name


def test_channels_last(device):
    tensors = example(SETTINGS[1], torch.float32, device)
    grads, outputs = [], []
    for memory in (torch.contiguous_format, torch.channels_last):
        own = [
            t.clone(memory_format=memory) if t.ndim == 4 else t.clone()
            for t in tensors
        ]
        own = [t.requires_grad_() for t in own]
        output = modulated_deform_conv2d(*own, *SETTINGS[1])
        output.square().sum().backward()
        outputs.append(output)
        grads.append([t.grad for t in own])
    torch.testing.assert_close(*outputs)
    for one, other in zip(*grads):
        torch.testing.assert_close(one, other)


BAD_SHIFTS = """
for bad, dtype in itertools.product(
    (nan, inf, -inf, 1e30, -1e30), (torch.float32, torch.float64)
):
    feats = torch.randn(2, 3, 6, 7, dtype=dtype, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, dtype=dtype, requires_grad=True)
    lacking = torch.ones(9, dtype=dtype)
    lacking[4] = 0
    kernel = weight * lacking.view(3, 3)
    wanted = torch.nn.functional.conv2d(feats, kernel, padding=1)
    inputs = feats, weight
    slopes = torch.autograd.grad(wanted.square().sum(), inputs)
    for taps in (8,), (9,), (8, 9):  # y, x of the central one
        shift = torch.zeros(2, 18, 6, 7, dtype=dtype)
        shift[:, taps] = bad
        shift.requires_grad_()
        mask = torch.ones(2, 9, 6, 7, dtype=dtype, requires_grad=True)
        for output in (
            mmcv.ops.deform_conv2d(feats, shift, weight, 1, 1),
            mmcv.ops.modulated_deform_conv2d(
                feats, shift, mask, weight, None, 1, 1
            ),
        ):
            same(output, wanted)
            loss = output.square().sum()
            *grads, moved = torch.autograd.grad(loss, (*inputs, shift))
            for grad, slope in zip(grads, slopes):
                same(grad, slope, rtol=1e-4, atol=1e-4)
            assert moved.isfinite().all() and not moved[:, 8:10].any()
"""


def test_a_tap_shifted_by_nan_or_far_away_reads_zero(alone):
    """As if the convolution lacked the tap; torchvision's crashes."""
    alone(BAD_SHIFTS)


def test_nan_features_and_masks_reach_the_output(device):
    feats, offset, mask, weight, bias = example(SETTINGS[0], device=device)
    for tensor in (feats, mask):
        kept = tensor[0, 0, 0, 0].clone()
        tensor[0, 0, 0, 0] = math.nan
        output = modulated_deform_conv2d(
            feats, offset * 0, mask, weight, bias, *SETTINGS[0]
        )
        assert output.isnan().any()
        tensor[0, 0, 0, 0] = kept
