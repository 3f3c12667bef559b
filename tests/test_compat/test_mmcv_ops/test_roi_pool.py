"""RoIPool: values by hand, an oracle in loops, bins without a cell."""

import math

import pytest
import torch
from mmcv.ops import roi_pool

RAMP = torch.arange(16.0).view(1, 1, 4, 4)


@pytest.mark.parametrize(
    ('roi', 'scale', 'values'),
    [
        # cells 0 to 3, since the last pixel counts
        ([0, 0, 3, 3], 1.0, [5, 7, 13, 15]),
        # from 0.5 to 2.5: cells 0, 1 | 1, 2; nothing is rounded before
        ([1, 1, 4, 4], 0.5, [5, 6, 9, 10]),
        # one column of bins lies beyond the map
        ([2, 0, 5, 3], 1.0, [7, 0, 15, 0]),
        # ends before it begins
        ([3, 3, 1, 1], 1.0, [0, 0, 0, 0]),
    ],
)
def test_by_hand(device, roi, scale, values):
    rois = torch.tensor([[0.0, *roi]], device=device)
    feats = RAMP.to(device).clone().requires_grad_()
    pooled = roi_pool(feats, rois, 2, scale)
    assert pooled.flatten().tolist() == values
    pooled.sum().backward()
    hits = {v for v in values if v}
    assert {*RAMP[feats.grad.cpu() > 0].tolist()} == hits


def oracle(feats, rois, size, scale):
    """RoIPool in loops."""
    height, width = feats.shape[2:]
    output = torch.zeros(len(rois), feats.shape[1], size, size).to(feats)
    for r, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        left, top = x1 * scale, y1 * scale
        high = ((y2 + 1) * scale - top) / size
        wide = ((x2 + 1) * scale - left) / size
        for i in range(size):
            for j in range(size):
                rows = slice(
                    max(math.floor(i * high + top), 0),
                    min(math.ceil((i + 1) * high + top), height),
                )
                columns = slice(
                    max(math.floor(j * wide + left), 0),
                    min(math.ceil((j + 1) * wide + left), width),
                )
                cells = feats[int(image), :, rows, columns].flatten(1)
                if cells.numel():
                    output[r, :, i, j] = cells.amax(1)
    return output


def example():
    torch.manual_seed(0)
    rois = [
        [0, 1.3, 2.1, 7.9, 8.2],
        [1, 3.2, 3.3, 30.0, 20.0],
        [0, 2.0, 2.0, 2.7, 9.5],
        [1, 0.0, 0.0, 13.0, 9.0],
    ]
    rois = torch.tensor(rois, dtype=torch.float64)
    return torch.randn(2, 3, 5, 7, dtype=torch.float64), rois


def test_against_loops(device):
    feats, rois = example()
    pooled = roi_pool(feats.to(device), rois.to(device), 3, 0.5)
    assert torch.equal(pooled.cpu(), oracle(feats, rois, 3, 0.5))


def test_gradient(device):
    feats, rois = (t.to(device) for t in example())
    assert torch.autograd.gradcheck(
        lambda x: roi_pool(x, rois, 3, 0.5),
        feats.requires_grad_(),
        fast_mode=True,
    )


def test_no_rois(device):
    feats = RAMP.to(device).clone().requires_grad_()
    pooled = roi_pool(feats, torch.zeros(0, 5, device=device), 2)
    pooled.sum().backward()
    assert pooled.shape == (0, 1, 2, 2) and not feats.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(device, dtype):
    feats, rois = example()
    feats = feats.to(device, dtype).requires_grad_()
    pooled = roi_pool(feats, rois.to(device, torch.float32), 3, 0.5)
    pooled.sum().backward()
    wanted = oracle(feats.detach().cpu(), rois, 3, 0.5)
    assert torch.equal(pooled.cpu(), wanted)
    assert feats.grad.dtype == dtype
    assert feats.grad.sum() == (pooled != 0).sum()


def test_channels_last(device):
    feats, rois = (t.to(device) for t in example())
    own = feats.clone(memory_format=torch.channels_last).requires_grad_()
    feats.requires_grad_()
    for each in (feats, own):
        roi_pool(each, rois, 3, 0.5).square().sum().backward()
    assert torch.equal(feats.grad, own.grad)


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('corner', [1, 2, 3, 4])
def test_a_roi_that_is_not_finite_pools_zeros(device, bad, corner):
    feats, rois = (t.to(device) for t in example())
    feats.requires_grad_()
    wanted = roi_pool(feats, rois[1:], 3, 0.5)
    wanted.sum().backward()
    slope, feats.grad = feats.grad, None
    rois[0, corner] = bad
    pooled = roi_pool(feats, rois, 3, 0.5)
    pooled.sum().backward()
    assert not pooled[0].any()
    assert torch.equal(pooled[1:], wanted)
    assert torch.equal(feats.grad, slope)


@pytest.mark.parametrize('index', [-1.0, 2.0, math.nan])
def test_an_image_that_the_batch_lacks(device, index):
    feats, rois = (t.to(device) for t in example())
    rois[3, 0] = index
    message = f'image index {index:g}, but the batch has 2 image'
    with pytest.raises(ValueError, match=message):
        roi_pool(feats, rois, 2, 0.5)


@pytest.mark.parametrize('shape', [(2, 0, 5, 7), (2, 3, 0, 7)])
def test_a_map_without_channels_or_cells(device, shape):
    feats = torch.zeros(shape, device=device, requires_grad=True)
    pooled = roi_pool(feats, example()[1].float().to(device), 2, 0.5)
    assert pooled.shape == (4, shape[1], 2, 2) and not pooled.any()
    pooled.sum().backward()
    assert feats.grad.shape == shape
