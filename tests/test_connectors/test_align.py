"""AlignConnector against a matrix product and a loop of bilinear weights."""

import numpy as np
import pytest
import torch
from torch import nn

from kd_det.connectors import AlignConnector
from kd_det.errors import UserError


def bilinear(x, size):
    """Resize (N, C, H, W) about the centres of cells, edges repeated."""
    n, c, h, w = x.shape
    out = np.zeros((n, c, *size))
    for i in range(size[0]):
        for j in range(size[1]):
            y = min(max((i + 0.5) * h / size[0] - 0.5, 0), h - 1)
            z = min(max((j + 0.5) * w / size[1] - 0.5, 0), w - 1)
            y0, z0 = int(y), int(z)
            y1, z1 = min(y0 + 1, h - 1), min(z0 + 1, w - 1)
            a, b = y - y0, z - z0
            out[:, :, i, j] = (1 - a) * (1 - b) * x[:, :, y0, z0]
            out[:, :, i, j] += (1 - a) * b * x[:, :, y0, z1]
            out[:, :, i, j] += a * (1 - b) * x[:, :, y1, z0]
            out[:, :, i, j] += a * b * x[:, :, y1, z1]
    return out


@pytest.mark.parametrize('size', [(4, 6), (7, 5), (2, 3), (1, 1)])
@pytest.mark.parametrize('channels', [(3, 3), (3, 5)])
def test_channels_then_size(size, channels):
    generator = torch.Generator().manual_seed(0)
    ours, theirs = channels
    x = torch.randn(2, ours, 4, 6, generator=generator, dtype=torch.float64)
    connector = AlignConnector([ours], [theirs]).double()
    (got,) = connector((x,), (torch.zeros(2, theirs, *size),))
    expected = x.numpy()
    if ours != theirs:
        layer = connector.levels[0]
        weight = layer.weight.detach().numpy()[:, :, 0, 0]
        expected = np.einsum('oc,nchw->nohw', weight, expected)
        expected += layer.bias.detach().numpy()[:, None, None]
    np.testing.assert_allclose(
        got.detach().numpy(), bilinear(expected, size), rtol=1e-10, atol=1e-12
    )


def test_what_agrees_passes_untouched():
    connector = AlignConnector([3, 4], [3, 8])
    assert isinstance(connector.levels[0], nn.Identity)
    maps = torch.randn(1, 3, 4, 4), torch.randn(1, 4, 2, 2)
    like = torch.randn(1, 3, 4, 4), torch.randn(1, 8, 2, 2)
    first, second = connector(maps, like)
    assert first is maps[0]
    assert second.shape == like[1].shape
    second.sum().backward()
    assert all(p.grad is not None for p in connector.parameters())


def test_the_teachers_values_do_not_matter():
    connector = AlignConnector([2], [3])
    x = (torch.randn(1, 2, 4, 4),)
    nan = (torch.full((1, 3, 8, 8), float('nan')),)
    (got,) = connector(x, nan)
    assert torch.isfinite(got).all()


@pytest.mark.parametrize(
    'ours, theirs, message',
    [
        (3, 3, 'in_channels=3; a list of integers'),
        ([3], [3, 4], r'in_channels=\[3\] has 1 levels, out_channels'),
        ([3], [0], r'out_channels\[0\]=0; an integer, 1 or above'),
        ([], [], r'in_channels=\[\]'),
    ],
)
def test_bad_channels(ours, theirs, message):
    with pytest.raises(UserError, match=message):
        AlignConnector(ours, theirs)


def test_other_levels_than_at_the_build():
    connector = AlignConnector([3], [4])
    x, like = torch.zeros(1, 3, 2, 2), torch.zeros(1, 4, 2, 2)
    with pytest.raises(UserError, match='built for 1 levels.* 2 of the stud'):
        connector((x, x), (like,))
    with pytest.raises(UserError, match=r'3 channels.*\(1, 4, 2, 2\)'):
        connector((like,), (like,))
