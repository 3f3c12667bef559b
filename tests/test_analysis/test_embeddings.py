"""Neighbours and projections against their definitions; the pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from kd_det.analysis.embeddings import (
    draw_projection,
    draw_retrievals,
    nearest,
    project,
)
from kd_det.analysis.pictures import RIGHT, WRONG


def rgb(color):
    return tuple(int(color[k : k + 2], 16) for k in (1, 3, 5))


def test_nearest_by_sorting():
    x = torch.randn(12, 3)
    x[5] = x[2]  # a duplicate is a neighbour, the query is none
    queries = torch.tensor([2, 7])
    found = nearest(x + 100, queries, 4)
    for query, row in zip(queries.tolist(), found.tolist()):
        gaps = {j: float((x[query] - x[j]).norm()) for j in range(12)}
        gaps.pop(query)
        wanted = sorted(gaps.values())[:4]
        assert [gaps[j] for j in row] == pytest.approx(wanted, abs=1e-4)
    assert found[0, 0] == 5


def test_projection_is_that_of_the_covariance():
    x = torch.randn(50, 6) * torch.tensor([1, 5, 2, 0.1, 3, 1.0]) + 10
    points = project(x).numpy()
    values, axes = np.linalg.eigh(np.cov(x.double().numpy().T))
    centred = x.double().numpy() - x.double().numpy().mean(0)
    for column in range(2):
        wanted = centred @ axes[:, -1 - column]
        wanted *= np.sign(wanted[np.abs(wanted).argmax()])
        np.testing.assert_allclose(points[:, column], wanted, atol=1e-8)
        assert points[:, column].var(ddof=1) == pytest.approx(
            values[-1 - column]
        )


def test_projection_of_one_dimension():
    points = project(torch.randn(5, 1))
    assert points.shape == (5, 2) and (points[:, 1] == 0).all()


def colors_of(path):
    pixels = np.asarray(Image.open(path).convert('RGB'))
    return {tuple(color) for color in pixels.reshape(-1, 3).tolist()}


def test_frames_say_what_is_right(tmp_path):
    grey = np.full((20, 20, 3), 128, np.uint8)
    for labels, absent in (([0, 0, 0], WRONG), ([0, 1, 2], RIGHT)):
        path = tmp_path / 'sheet.png'
        draw_retrievals(path, [[grey] * 3] * 2, np.array([labels] * 2))
        there = {RIGHT, WRONG} - {absent}
        assert rgb(*there) in colors_of(path)
        assert rgb(absent) not in colors_of(path)


def test_plane_has_a_colour_a_class(tmp_path):
    path = tmp_path / 'plane.png'
    points = np.random.default_rng(0).normal(size=(30, 2))
    draw_projection(path, {'': points}, np.arange(30) % 3, ['a', 'b', 'c'])
    assert {(31, 119, 180), (255, 127, 14), (44, 160, 44)} <= colors_of(path)
