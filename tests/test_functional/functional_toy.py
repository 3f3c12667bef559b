"""Random inputs, comparisons and gradients for the tests beside it."""

import itertools

import numpy as np
import torch


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def close(actual, expected, **tolerance):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    tolerance = {'rtol': 1e-12, 'atol': 1e-14, **tolerance}
    torch.testing.assert_close(actual.double(), expected, **tolerance)


def gradient(call, x):
    x = x.detach().clone().requires_grad_()
    call(x).sum().backward()
    return x.grad


def pool(feature_map, height, width):
    """Adaptive average pooling of one (C, H, W) array, window by window."""
    channels, rows, columns = feature_map.shape
    out = np.zeros((channels, height, width))
    for c, i, j in itertools.product(
        range(channels), range(height), range(width)
    ):
        top, bottom = i * rows // height, -(-(i + 1) * rows // height)
        left, right = j * columns // width, -(-(j + 1) * columns // width)
        out[c, i, j] = feature_map[c, top:bottom, left:right].mean()
    return out
