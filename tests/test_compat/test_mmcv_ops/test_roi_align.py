"""RoIAlign: values by hand, an oracle in loops, RoIs outside the map."""

import itertools
import math

import pytest
import torch
from mmcv.ops import RoIAlign, roi_align

from kd_det.compat.mmcv_ops.roi_align_linear import linear_backward

RAMP = torch.arange(16.0).view(1, 1, 4, 4)  # 4 y + x
WHOLE = torch.tensor([[0.0, 0, 0, 4, 4]])
MODES = list(itertools.product(('avg', 'max'), (0, 2), (True, False)))


@pytest.mark.parametrize(
    ('mode', 'ratio', 'aligned', 'values'),
    [
        # one sample a bin, at 0.5 and 2.5; or at 1 and 3 if not aligned
        ('avg', 1, True, [2.5, 4.5, 10.5, 12.5]),
        ('avg', 1, False, [5, 7, 13, 15]),
        # at 0, 1 | 2, 3: the same mean, as the map is linear
        ('avg', 2, True, [2.5, 4.5, 10.5, 12.5]),
        ('avg', 0, True, [2.5, 4.5, 10.5, 12.5]),
        ('max', 2, True, [5, 7, 13, 15]),
        # at 0.5, 1.5 | 2.5, 3.5, which is 3
        ('max', 2, False, [7.5, 9, 13.5, 15]),
    ],
)
def test_by_hand(device, mode, ratio, aligned, values):
    pooled = roi_align(
        RAMP.to(device), WHOLE.to(device), 2, 1.0, ratio, mode, aligned
    )
    assert pooled.flatten().tolist() == values


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_outside_the_map_is_nothing(device, mode):
    feats = RAMP.to(device).clone().requires_grad_()
    rois = torch.tensor([[0.0, 40, 40, 44, 44]], device=device)
    pooled = roi_align(feats, rois, 2, 1.0, 2, mode, True)
    pooled.sum().backward()
    assert not pooled.any() and not feats.grad.any()


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_no_rois(device, mode):
    feats = RAMP.to(device).clone().requires_grad_()
    rois = torch.zeros(0, 5, device=device)
    pooled = roi_align(feats, rois, (2, 3), 1.0, 0, mode, True)
    assert pooled.shape == (0, 1, 2, 3)
    pooled.sum().backward()
    assert not feats.grad.any()


def value_at(cells, y, x):
    """Bilinear, cell by cell; 0 more than a cell beyond the map."""
    height, width = cells.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    total = 0.0
    for row in range(height):
        for column in range(width):
            near = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
            total += near * cells[row, column].item()
    return total


def oracle(feats, rois, size, scale, ratio, mode, aligned):
    """RoIAlign in loops over RoIs, channels, bins and samples."""
    output = torch.zeros(len(rois), feats.shape[1], *size, dtype=feats.dtype)
    for r, (image, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (c * scale - (0.5 if aligned else 0) for c in corners)
        lengths = [y2 - y1, x2 - x1]
        if not aligned:
            lengths = [max(length, 1) for length in lengths]
        sides = [length / bins for length, bins in zip(lengths, size)]
        grid = [ratio or math.ceil(side) for side in sides]
        for c, i, j in itertools.product(
            range(feats.shape[1]), range(size[0]), range(size[1])
        ):
            samples = [
                value_at(
                    feats[int(image), c],
                    y1 + (i + (a + 0.5) / grid[0]) * sides[0],
                    x1 + (j + (b + 0.5) / grid[1]) * sides[1],
                )
                for a in range(grid[0])
                for b in range(grid[1])
            ]
            mean = sum(samples) / max(len(samples), 1)
            output[r, c, i, j] = max(samples) if mode == 'max' else mean
    return output


def example(dtype=torch.float64):
    """A map of two images, and RoIs inside, across and beyond its border."""
    torch.manual_seed(0)
    feats = torch.randn(2, 2, 5, 7, dtype=dtype)
    rois = [
        [0, 1.3, 2.1, 7.9, 8.2],
        [1, -5.0, -3.0, 6.1, 4.4],
        [1, 3.2, 3.3, 30.0, 20.0],
        [0, 2.0, 2.0, 2.7, 9.5],
        [1, 0.0, 0.0, 14.0, 10.0],
    ]
    return feats, torch.tensor(rois, dtype=dtype)


@pytest.mark.parametrize(('mode', 'ratio', 'aligned'), MODES)
def test_against_loops(device, mode, ratio, aligned):
    feats, rois = example()
    args = ((2, 3), 0.5, ratio, mode, aligned)
    pooled = roi_align(feats.to(device), rois.to(device), *args)
    torch.testing.assert_close(pooled.cpu(), oracle(feats, rois, *args))


@pytest.mark.parametrize(('mode', 'ratio', 'aligned'), MODES)
def test_gradient(device, mode, ratio, aligned):
    feats, rois = example()
    feats = feats.to(device).requires_grad_()
    rois = rois.to(device)
    assert torch.autograd.gradcheck(
        lambda x: roi_align(x, rois, (2, 3), 0.5, ratio, mode, aligned),
        feats,
        fast_mode=True,
    )


@pytest.mark.parametrize(('mode', 'ratio', 'aligned'), MODES[:4])
def test_the_deterministic_gradient_is_the_same(device, mode, ratio, aligned):
    feats, rois = (t.to(device) for t in example())
    feats.requires_grad_()
    grad = torch.randn(len(rois), 2, 3, 4, dtype=feats.dtype, device=device)
    pooled = roi_align(feats, rois, (3, 4), 0.5, ratio, 'avg', aligned)
    pooled.backward(grad)
    ours = linear_backward(grad, rois, feats.shape, 0.5, ratio, aligned)
    torch.testing.assert_close(ours, feats.grad)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_the_gradient_is_allowed_where_determinism_is_asked_for(mode):
    torch.use_deterministic_algorithms(True)
    try:
        feats, rois = (t.cuda().float() for t in example())
        feats.requires_grad_()
        roi_align(feats, rois, 3, 0.5, 2, mode, True).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert feats.grad.any()


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(device, dtype, mode):
    """Computed in float32, also under autocast."""
    feats, rois = (t.to(device, dtype) for t in example(torch.float32))
    args = (2, 0.5, 2, mode, True)
    wide = feats.float().requires_grad_()
    wanted = roi_align(wide, rois.float(), *args)
    wanted.sum().backward()
    for enabled in (False, True):
        narrow = feats.clone().requires_grad_()
        with torch.autocast(device, dtype, enabled=enabled):
            pooled = roi_align(narrow, rois, *args)
        assert pooled.dtype == dtype
        assert torch.equal(pooled, wanted.to(dtype))
        pooled.sum().backward()
        assert narrow.grad.dtype == dtype
        torch.testing.assert_close(
            narrow.grad.float(), wide.grad, rtol=0.02, atol=0.02
        )


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_channels_last(device, mode):
    torch.manual_seed(0)
    feats = torch.randn(2, 6, 9, 11, device=device)
    _, rois = example(torch.float32)
    grads = []
    pooled = []
    for memory in (torch.contiguous_format, torch.channels_last):
        own = feats.clone(memory_format=memory).requires_grad_()
        layer = RoIAlign(3, 0.5, 2, mode)
        pooled.append(layer(own, rois.to(device)))
        pooled[-1].square().sum().backward()
        grads.append(own.grad)
    assert torch.equal(*pooled)
    torch.testing.assert_close(*grads)


BAD_ROIS = """
feats = torch.randn(2, 3, 6, 7, requires_grad=True)
good = torch.tensor([[1, 0.5, 1, 5, 4]])
for bad, corner, mode, ratio, aligned in itertools.product(
    (nan, inf, -inf, 1e30), range(1, 5), ('avg', 'max'), (0, 2), (True, False)
):
    row = torch.tensor([[0, 1, 1, 4, 4.0]])
    row[0, corner] = bad
    pooled, grads = [], []
    for rois in good, torch.cat((row, good)):
        pooled.append(
            mmcv.ops.roi_align(feats, rois, 2, 1.0, ratio, mode, aligned)
        )
        loss = pooled[-1].square().sum()
        grads += torch.autograd.grad(loss, feats)
    assert not pooled[1][0].any()
    same(pooled[1][1:], pooled[0])
    same(*grads)
"""


def test_a_roi_that_is_not_finite_pools_zeros(alone):
    """The others are as without it; torchvision's crashes."""
    alone(BAD_ROIS)


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('index', [-1.0, 2.0, math.nan])
def test_an_image_that_the_batch_lacks(mode, index):
    feats, rois = example()
    rois[3, 0] = index
    message = f'image index {index:g}, but the batch has 2 image'
    with pytest.raises(ValueError, match=message):
        roi_align(feats, rois, 2, 0.5, 2, mode, True)


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('shape', [(2, 0, 5, 7), (2, 3, 0, 7)])
def test_a_map_without_channels_or_cells(device, mode, shape):
    feats = torch.zeros(shape, device=device, requires_grad=True)
    rois = example(torch.float32)[1].to(device)
    pooled = roi_align(feats, rois, 2, 0.5, 2, mode, True)
    assert pooled.shape == (5, shape[1], 2, 2) and not pooled.any()
    pooled.sum().backward()
    assert feats.grad.shape == shape
