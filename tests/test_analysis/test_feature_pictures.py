"""The pictures of a comparison of features: numbers by loops, panels."""

import json
from types import SimpleNamespace

import ie_toy as toy
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from kd_det.analysis import attention_maps, capacity, region_maps
from kd_det.analysis import logit_relations as relations
from kd_det.analysis.feature_pictures import common_classes, write_regions
from kd_det.analysis.logit_probe import LogitProbe
from kd_det.analysis.pictures import rgb
from kd_det.datasets.chosen import Chosen
from kd_det.errors import UserError
from kd_det.taps import FeatureTap


@pytest.fixture
def figures(monkeypatch):
    """The figures that are written."""
    found = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure,
        'savefig',
        lambda f, *a, **k: [found.append(f), save(f, *a, **k)],
    )
    return found


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator)


def pictures(count):
    return [np.full((8, 8, 3), 40 * k, np.uint8) for k in range(count)]


def test_relations_by_loops():
    ours, theirs = draw(20, 4).numpy(), draw(20, 4, seed=1).numpy()
    gap = relations.relation_gap(torch.tensor(ours), torch.tensor(theirs))
    sizes = []
    for i in range(4):
        for j in range(4):
            own, other = (
                np.corrcoef(x[:, i], x[:, j])[0, 1] for x in (ours, theirs)
            )
            assert gap[i, j].item() == pytest.approx(own - other, abs=1e-6)
            if i != j:
                sizes.append(abs(own - other))
    numbers = relations.relation_numbers(
        torch.tensor(ours), torch.tensor(theirs)
    )
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(ours, theirs)]
    assert numbers == pytest.approx(
        dict(mean_gap=np.mean(sizes), pearson=np.mean(alike)), abs=1e-6
    )
    constant = torch.tensor(ours)
    constant[:, 1] = 3.0
    gap = relations.relation_gap(constant, constant * 2 + 1)
    assert gap.abs().max() < 1e-6


def test_a_matrix_per_student(tmp_path, figures):
    x = draw(20, 3)
    gaps = {
        name: relations.relation_gap(x, draw(20, 3, seed=k))
        for k, name in enumerate(('kd', 'ft'), 1)
    }
    numbers = dict.fromkeys(gaps, dict(mean_gap=0.5))
    relations.draw_relations(tmp_path / 'a.png', gaps, numbers, [*'abc'])
    (figure,) = figures
    titles = [axis.get_title() for axis in figure.axes]
    assert [*filter(None, titles)] == [
        'kd: mean |gap| 0.500',
        'ft: mean |gap| 0.500',
    ]
    assert len(titles) == 4  # and two scales
    one, other = (axis.images[0].get_clim() for axis in figure.axes[:2])
    assert one == other == (-one[1], one[1])


def test_attention_by_loops():
    x = draw(3, 2, 4)
    found = attention_maps.attention(x)
    for h in range(2):
        for w in range(4):
            energy = sum(x[c, h, w].item() ** 2 for c in range(3)) / 3
            most = x.square().mean(0).max().item()
            assert found[h, w].item() == pytest.approx(energy / most)
    assert attention_maps.attention(torch.zeros(3, 2, 2)).sum() == 0
    other = draw(2, 4, seed=1).double().abs()
    a, b = found.flatten().numpy(), other.flatten().numpy()
    expected = a @ b / np.sqrt((a @ a) * (b @ b))
    assert attention_maps.alike(found, other) == pytest.approx(expected)
    finer = found.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert attention_maps.alike(finer, found) == pytest.approx(1)


def test_a_row_per_image(tmp_path, figures):
    maps = [dict(teacher=draw(2, 2), student=draw(4, 4))] * 3
    attention_maps.draw_attention(
        tmp_path / 'a.png', pictures(3), maps, [(16, 8)] * 3
    )
    (figure,) = figures
    (axis,) = figure.axes
    assert len(axis.images) == 9
    left, right, bottom, top = axis.images[4].get_extent()
    assert (bottom - top, right - left) == pytest.approx((2, 1))
    # the padding below an image is left out
    frame = axis.images[4].get_clip_box()
    frame = frame.transformed(axis.transData.inverted())
    assert [*frame.min, *frame.max] == pytest.approx(
        [left, top, left + 1, top + 1]
    )


def test_regions_of_a_classifier():
    """The classification layer on the means of cells, in a given order."""
    model = toy.build(toy.network()).eval()
    order = torch.tensor([4, 0, 9])
    probe = LogitProbe(model, order, regions=True)
    batch = model.data_preprocessor(toy.batch(2), False)
    with torch.no_grad(), FeatureTap(model, probe.points) as records:
        model(**batch, mode='loss')
    probe.add(records, batch['data_samples'])
    with torch.no_grad():
        x = model.backbone(batch['inputs'])[-1]
        layer = model.head.fc
        cells = [x[:, :, :4, 4:], x[:, :, 2:4, 6:]]
        for place, cell in zip((2, 5 + 4 + 3), cells):
            expected = layer(cell.mean((2, 3)))[:, order]
            torch.testing.assert_close(probe.regions()[..., place], expected)
        expected = layer(x.mean((2, 3)))[:, order]
    torch.testing.assert_close(probe.regions()[..., 0], expected)
    torch.testing.assert_close(probe.logits(), expected)
    # of a network with another number of classes, nothing
    probe = LogitProbe(model, torch.tensor([10]), regions=True)
    probe.add({}, [])
    assert probe.points == {} and probe.logits() is None
    assert probe.regions() is None


def test_ambiguous_images_by_loops():
    logits, labels = draw(12, 3, 21), torch.arange(12) % 3
    logits[4] = logits[4, :, :1]  # all cells agree
    expected = []
    for sample, own in enumerate(logits.argmax(1).tolist()):
        counts = [
            sum(cell != own[0] for cell in own[1:5]),
            sum(cell != own[0] for cell in own[5:]),
        ]
        if counts[0]:
            expected.append(dict(sample=sample, complementary=counts))
    found = region_maps.ambiguous(logits, labels)
    counts = [entry['complementary'] for entry in found]
    assert counts == sorted(counts, reverse=True)
    assert sorted(found, key=lambda entry: entry['sample']) == expected
    assert 4 not in [entry['sample'] for entry in found]


def test_three_panels_per_image(tmp_path, figures):
    logits = draw(3, 4, 21)
    region_maps.draw_regions(
        tmp_path / 'a.png', pictures(3), logits, [0, 3, 1], [*'abcd']
    )
    (figure,) = figures
    assert len(figure.axes) == 9
    shown = figure.axes[5].images[0].get_array()
    expected = logits[1].softmax(0)[3, 5:].reshape(4, 4)
    np.testing.assert_allclose(shown, expected)


def test_ambiguous_images_are_found_again(tmp_path, figures):
    """By their places in the test set, without classes of one network."""
    logits = torch.zeros(3, 2, 21)
    logits[1, 1, [0, 5, 6]] = logits[2, 1, [2, 4, 20]] = 1.0
    teacher = SimpleNamespace(
        answers=SimpleNamespace(regions=lambda: logits),
        labels=lambda: torch.tensor([1, 0, 2]),
        model=SimpleNamespace(data_preprocessor=None),
    )
    images = [dict(inputs=torch.full((3, 4, 4), float(k))) for k in range(10)]
    found = write_regions(
        tmp_path,
        teacher,
        common_classes(('a', 'b', 'c'), ('a', 'c')),
        Chosen(images, [3, 5, 9]),
    )
    # of the second image, cells of 4 x 4 at 5 and 6 are like the whole
    assert found == [
        dict(image=5, complementary=[4, 14]),
        dict(image=9, complementary=[2, 1]),
    ]
    (figure,) = figures
    shown = [axis.images[0].get_array() for axis in figure.axes[::3]]
    assert [array.mean() for array in shown] == [5, 9]
    assert figure.axes[3].get_title() == 'c\npredicted a'


def test_common_classes():
    match = common_classes(('a', 'b', 'c'), ('c', 'x', 'a'))
    assert match.names == ('a', 'c')
    assert common_classes(('a',), ()).names == ('a',)
    assert common_classes(('a',), ('b',)) is None


def test_capacity(tmp_path, figures):
    def entry(size, norm, method=None, score=None):
        return dict(parameters=size, norm=norm, method=method, score=score)

    small = dict(
        teacher=entry(100, 1.0, 'baseline', 80.0),
        one=entry(10, 2.0, 'kd', 60.0),
        two=entry(10, 4.0, 'kd', 70.0),
        alone=entry(10, 3.0),
    )
    large = dict(teacher=entry(400, 5.0), one=entry(40, 6.0, 'kd', 75.0))
    assert capacity.capacity_lines([large, small]) == {
        ('parameters', 'mean norm'): dict(
            teacher=[(100, 1.0), (400, 5.0)],
            kd=[(10, 3.0), (40, 6.0)],
            alone=[(10, 3.0)],
        ),
        ('parameters', 'score [%]'): dict(
            kd=[(10, 65.0), (40, 75.0)], teacher=[(100, 80.0)]
        ),
        ("teacher's parameters", "student's score [%]"): dict(
            kd=[(100, 65.0), (400, 75.0)]
        ),
    }
    capacity.draw_capacity(tmp_path / 'a.png', [large, small])
    capacity.draw_capacity(tmp_path / 'b.png', [dict(teacher=entry(1, 1.0))])
    assert [len(figure.axes) for figure in figures] == [3, 1]
    file = tmp_path / 'features.json'
    file.write_text(json.dumps(dict(networks=small)))
    assert capacity.load_networks(str(file)) == small
    for broken in ('{', '[]', '{}', '{"networks": {}}'):
        file.write_text(broken)
        with pytest.raises(UserError, match='leave the file out of --with'):
            capacity.load_networks(str(file))


def test_facts_of_a_run(tmp_path):
    file = tmp_path / 'epoch_2.pth'
    assert capacity.run_facts(file) == dict(method=None, score=None)
    record = dict(config='iekd_a_b', seed=0, metrics=dict(mAP=0.25))
    (tmp_path / 'run.json').write_text(json.dumps(record))
    assert capacity.run_facts(file) == dict(method='iekd', score=25.0)


def test_channel_order():
    image = torch.arange(12.0).reshape(3, 2, 2)
    assert rgb(image, False)[0, 1].tolist() == [1, 5, 9]
    assert rgb(image, True)[0, 1].tolist() == [9, 5, 1]
    assert rgb(image[:1], True)[1, 0].tolist() == [2, 2, 2]
