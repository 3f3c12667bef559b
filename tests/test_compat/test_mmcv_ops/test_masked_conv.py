"""Masked convolution: that of torch where the mask is, else 0."""

import pytest
import torch
from mmcv.ops import MaskedConv2d
from torch.nn import functional as F


@pytest.mark.parametrize(
    ('kernel', 'padding'), [(3, 1), (1, 0), ((3, 1), (1, 0))]
)
def test_it_is_a_convolution_where_the_mask_is(device, kernel, padding):
    torch.manual_seed(0)
    layer = MaskedConv2d(4, 5, kernel, padding=padding).to(device).eval()
    feats = torch.randn(1, 4, 6, 7, device=device)
    with torch.no_grad():
        whole = F.conv2d(feats, layer.weight, layer.bias, 1, padding)
        mask = torch.rand(1, *whole.shape[2:], device=device) > 0.6
        torch.testing.assert_close(layer(feats, mask), whole * mask)
        assert not layer(feats, torch.zeros_like(mask)).any()
        torch.testing.assert_close(layer(feats), whole)
