"""Multi-scale deformable attention as a GPU calls it."""

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
)

SHAPES = [[3, 4], [2, 2]]


def attend(value, at, weight):
    shapes = torch.tensor(SHAPES, device=value.device)
    start = torch.tensor([0, 12], device=value.device)
    return MultiScaleDeformableAttnFunction.apply(
        value, shapes, start, at, weight, 64
    )


def example(device, dtype=torch.float64):
    """Values of 2 images, 16 cells, 2 heads; 3 queries of 2 points."""
    torch.manual_seed(0)
    tensors = (
        torch.randn(2, 16, 2, 4),
        torch.rand(2, 3, 2, 2, 2, 2) * 1.2 - 0.1,
        torch.rand(2, 3, 2, 2, 2),
    )
    return [tensor.to(device, dtype) for tensor in tensors]


def test_by_hand(device):
    """One head, one point a level: the middle of a cell is that cell."""
    value = torch.arange(16.0, device=device).view(1, 16, 1, 1)
    at = [[2.5 / 4, 1.5 / 3], [0.5, 0.5]]  # x, y: cell (1, 2); all four
    at = torch.tensor(at, device=device).view(1, 1, 1, 2, 1, 2)
    weight = torch.tensor([0.25, 0.75], device=device).view(1, 1, 1, 2, 1)
    output = attend(value, at, weight)
    # 4 + 2, and the mean of 12 to 15
    assert output.item() == pytest.approx(0.25 * 6 + 0.75 * 13.5)


def test_outside_is_nothing(device):
    value, at, weight = example(device)
    assert not attend(value, at + 5, weight).any()


def test_gradient(device):
    inputs = [tensor.requires_grad_() for tensor in example(device)]
    assert torch.autograd.gradcheck(attend, inputs, fast_mode=True)


def test_no_queries(device):
    value, at, weight = example(device)
    value.requires_grad_()
    output = attend(value, at[:, :0], weight[:, :0])
    output.sum().backward()
    assert output.shape == (2, 0, 8) and not value.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_of_the_values(device, dtype):
    """Computed in float32 and rounded once."""
    value, at, weight = (t.to(dtype) for t in example(device))
    wide = attend(value.float(), at.float(), weight.float())
    value.requires_grad_()
    for enabled in (False, True):
        with torch.autocast(device, dtype, enabled=enabled):
            output = attend(value, at, weight)
        assert output.dtype == dtype
        assert torch.equal(output, wide.to(dtype))
    output.sum().backward()
    assert value.grad.dtype == dtype and value.grad.any()
