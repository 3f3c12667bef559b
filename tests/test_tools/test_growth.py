"""How costs grow: counted memory, curves of every axis, and what docs say."""

import json
from pathlib import Path

import growth
import pytest
import torch

from benchmarks.live_memory import live_peak

ROOT = Path(__file__).parents[2]
RESULT = json.loads(growth.JSON.read_text())


@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_memory_is_counted(device):
    x = torch.zeros(1000, device=device)  # 4000 bytes, not counted

    def run():
        y = x + 1
        z = y.view(10, 100).add_(2)  # no new memory
        z = z * 2
        del y
        return z.sum() + x.exp().sum()

    # y, z; then z, its sum, exp and sum
    assert live_peak(run) in range(8000, 8020)


@pytest.mark.parametrize(
    ('axis', 'loss', 'size'),
    [
        ('RoIs', 'RKD-D', 2048),
        ('RoIs', 'RKD-A', 256),
        ('RoIs', 'SD-KD', 2048),
        ('classes', 'SD-KD', 1203),
    ],
)
def test_memory_is_that_of_the_docs(axis, loss, size):
    if axis == 'RoIs':
        makers = growth.of_pairs(size) | growth.of_rois(size, growth.CLASSES)
    else:
        makers = growth.of_rois(512, size)
    found = live_peak(makers[loss]('meta')) / 2**20
    stated = RESULT['curves'][axis][loss][f'{size}']['MiB']
    assert found <= 1.05 * stated


def test_every_axis(tmp_path):
    result = growth.measure((8, 16), (3, 5), (3,), (64,), 2, (1, 2), 1)
    curves = result['curves']
    assert curves.keys() == RESULT['curves'].keys()
    for axis, losses in curves.items():
        assert losses.keys() == RESULT['curves'][axis].keys()
        for sizes in losses.values():
            assert all(own['ms'] > 0 for own in sizes.values())
    assert RESULT['curves']['RoIs']['KD'].keys() == {*map(str, growth.ROIS)}
    path = tmp_path / 'growth.png'
    growth.draw(json.loads(json.dumps(result)), path)
    assert path.stat().st_size > 10_000
