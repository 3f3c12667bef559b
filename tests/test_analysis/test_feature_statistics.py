"""What is said of features: contributions, norms, boxes, curves, pictures."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from kd_det.analysis import features


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_contribution_is_of_the_pooled_channel():
    """Map -> mean over cells -> any loss: |mean x its gradient|."""
    x = draw(3, 4, 5, 5).requires_grad_()
    pooled = x.mean((2, 3))
    loss = (pooled @ draw(4, 2, seed=1)).square().sum()
    of_map, of_mean = torch.autograd.grad(loss, (x, pooled))
    found = features.contributions(x, of_map)
    torch.testing.assert_close(found, (pooled * of_mean).abs())


def test_active_and_effective():
    given = torch.tensor([1.0, 0.5, 0.0009, 0.002, 0.0])
    assert features.active(given).tolist() == [True, True, False, True, False]
    assert features.active(given, 0.6).sum() == 1
    assert features.effective(torch.ones(7)) == pytest.approx(7)
    assert features.effective(torch.tensor([0.0, 3.0, 0.0])) == 1
    assert features.effective(torch.zeros(3)) == 0


def test_norms_by_class():
    norms, labels = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 2])
    assert features.norm_table(norms, labels, ['a', 'b', 'c']) == dict(
        a=dict(count=2, mean=2.0, std=1.0), c=dict(count=1, mean=5.0, std=0.0)
    )


def test_box_means_by_loops():
    feature_map = draw(2, 6, 8)
    boxes = torch.tensor(
        [[0, 0, 64, 48], [10, 3, 30, 25], [33, 17, 34, 18], [60, 44, 80, 70]],
        dtype=torch.float64,
    )
    found = features.box_means(feature_map, boxes, (8.0, 8.0))
    for (x1, y1, x2, y2), value in zip(boxes.tolist(), found):
        near = [
            min(range(n), key=lambda i: abs((i + 0.5) * 8 - c))
            for n, c in ((6, (y1 + y2) / 2), (8, (x1 + x2) / 2))
        ]
        rows = [
            h for h in range(6) if y1 <= (h + 0.5) * 8 <= y2 or h == near[0]
        ]
        columns = [
            w for w in range(8) if x1 <= (w + 0.5) * 8 <= x2 or w == near[1]
        ]
        expected = feature_map[:, rows][:, :, columns].mean((1, 2))
        torch.testing.assert_close(value, expected)


def test_curves_of_a_resumed_run(tmp_path):
    for name, lines in {
        '1': [
            dict(loss=9.0, loss_task=2.0, epoch=1, step=1),
            dict(loss=9.0, loss_task=4.0, epoch=1, step=2),
            {'eval/cross_entropy': 2.5, 'step': 1},
        ],
        '2': [
            dict(loss=1.0, epoch=2, step=3),
            {'eval/cross_entropy': 2.0, 'step': 2},
        ],
    }.items():
        file = tmp_path / name / 'vis_data/scalars.json'
        file.parent.mkdir(parents=True)
        file.write_text('\n'.join(map(json.dumps, lines)))
    assert features.read_curves(tmp_path) == dict(
        train=[(1, 3.0), (2, 1.0)], eval=[(1, 2.5), (2, 2.0)]
    )
    assert features.read_curves(tmp_path / 'none') == dict(train=[], eval=[])


def test_pictures(tmp_path):
    table = np.eye(3)
    features.draw_cka(
        tmp_path / 'a.png', dict(x=table, y=table), ['p', 'q', 'r']
    )
    norms = dict(t=np.arange(6.0), s=np.arange(6.0))
    labels = np.array([0, 0, 1, 1, 3, 3])
    features.draw_norms(tmp_path / 'b.png', norms, labels, [*'abcd'])
    entry = dict(active=3, of=4, effective=2.2)
    features.draw_active(tmp_path / 'c.png', dict(t=entry, s=entry))
    run = dict(train=[(1, 2.0), (2, 1.0)], eval=[])
    other = dict(train=[(1, 2.0)], eval=[(1, 1.0)])
    features.draw_curves(tmp_path / 'd.png', dict(run=run, other=other))
    for name in 'abcd':
        picture = np.asarray(Image.open(tmp_path / f'{name}.png'))
        assert picture.std() > 5


def test_a_run_has_one_colour_in_both_panels(tmp_path, monkeypatch):
    figures = []
    save = features.save
    monkeypatch.setattr(
        features,
        'save',
        lambda f, *a, **k: [figures.append(f), save(f, *a, **k)],
    )
    runs = dict(
        first=dict(train=[(1, 2.0)], eval=[]),
        second=dict(train=[(1, 2.0)], eval=[(1, 2.0)]),
    )
    features.draw_curves(tmp_path / 'a.png', runs)
    (figure,) = figures
    colors = [[line.get_color() for line in a.lines] for a in figure.axes]
    assert colors[0] == colors[1]
    assert len({*colors[0]}) == 2
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == [*runs]


def test_pictures_grow_down_not_across(tmp_path):
    """Ten matrices are as wide as two, and five histograms as three."""
    names = ['teacher', 'student', 'student inherit']
    table = np.eye(3)
    norms = np.arange(6.0)
    labels = np.zeros(6, int)
    sizes = {}
    for few, many, draw in (
        (
            2,
            10,
            lambda path, n: features.draw_cka(
                path, {str(k): table for k in range(n)}, names
            ),
        ),
        (
            3,
            5,
            lambda path, n: features.draw_norms(
                path, {str(k): norms for k in range(n)}, labels, ['a']
            ),
        ),
    ):
        for count in (few, many):
            file = tmp_path / f'{count}.png'
            draw(file, count)
            sizes[count] = Image.open(file).size
        assert sizes[few][0] == sizes[many][0]
        assert sizes[few][1] < sizes[many][1]
