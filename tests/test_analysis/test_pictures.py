"""Which boxes count as right, and whether the picture says so."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from kd_det.analysis import pictures
from kd_det.analysis.pictures import Boxes, box_iou, draw_comparison, match

CLASSES = ('circle', 'square')


def random_boxes(rng, count: int, scored: bool) -> Boxes:
    low = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 40, (count, 2))], 1)
    scores = rng.random(count) if scored else None
    return Boxes(boxes, rng.integers(0, 2, count), scores)


def naive_iou(one, other) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return width * height / (sum(areas) - width * height)


def test_iou_and_match_are_those_of_loops():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(50):
        truth = random_boxes(rng, rng.integers(0, 6), scored=False)
        seen = random_boxes(rng, rng.integers(0, 6), scored=True)
        # some near the truth
        near = truth.boxes[:3] + rng.normal(0, 2, truth.boxes[:3].shape)
        seen = Boxes(
            np.concatenate([seen.boxes, near, near]),
            np.concatenate([seen.labels, *[truth.labels[:3]] * 2]),
            rng.random(len(seen.labels) + 2 * len(near)),
        ).best(0, 1)
        assert (np.diff(seen.scores) <= 0).all()
        free = set(range(len(truth.labels)))
        expected = []
        for box, label in zip(seen.boxes, seen.labels):
            overlaps = {
                k: naive_iou(box, truth.boxes[k])
                for k in free
                if truth.labels[k] == label
            }
            best = max(overlaps, key=overlaps.get, default=-1)
            if best < 0 or overlaps[best] < 0.5:
                best = -1
            free.discard(best)
            expected.append(best)
        assert match(seen, truth).tolist() == expected
        found += sum(k >= 0 for k in expected)
        np.testing.assert_allclose(
            box_iou(seen.boxes, truth.boxes),
            np.array(
                [[naive_iou(a, b) for b in truth.boxes] for a in seen.boxes]
            ).reshape(len(seen.labels), len(truth.labels)),
        )
    assert found > 50


def test_best_of_each_place():
    boxes = np.array(
        [[0, 0, 10, 10], [0, 0, 10, 9], [50, 0, 60, 10], [0, 0, 10, 4]]
    )
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.6, 0.8, 0.3, 0.5])
    seen = Boxes(boxes, labels, scores)
    # overlaps with the first: 1, 0.9, 0, 0.4; of the last with the second 4/9
    assert seen.best(0.1, 0.5).scores.tolist() == [0.8, 0.5, 0.3]
    assert seen.best(0.4, 0.5).labels.tolist() == [1, 1]
    assert seen.best(0.4, 0.95).scores.tolist() == [0.8, 0.6, 0.5]
    assert seen.best(0.4, 0.42).scores.tolist() == [0.8]
    assert len(seen.best(0.9, 0.5).labels) == 0


def colour_count(path, color: str) -> int:
    pixels = np.asarray(Image.open(path).convert('RGB')).astype(int)
    height, width, _ = pixels.shape
    # the image in the second column, without the title and the legend
    cell = pixels[height // 4 : 3 * height // 4, width // 2 :]
    wanted = np.array([round(255 * part) for part in to_rgb(color)])
    return int((abs(cell - wanted).max(2) < 24).sum())


@pytest.mark.parametrize(
    ('label', 'score', 'expected'),
    [
        (0, 0.9, pictures.RIGHT),
        (1, 0.9, pictures.WRONG),
        (0, 0.1, pictures.TRUTH),
    ],
)
def test_colours_tell_right_wrong_and_missed(tmp_path, label, score, expected):
    image = np.full((64, 64, 3), 128, np.uint8)
    box = np.array([[20.0, 20, 44, 44]])
    truth = Boxes(box, np.array([0]))
    seen = Boxes(box, np.array([label]), np.array([score]))
    png = tmp_path / 'a.png'
    draw_comparison(png, [image], [truth], {'one': [seen]}, CLASSES)
    for color in (pictures.RIGHT, pictures.WRONG):
        assert (colour_count(png, color) > 300) == (color == expected)
    missed = colour_count(png, pictures.TRUTH) > 100
    assert missed == (expected != pictures.RIGHT)


def test_picture_grows_with_images_and_models(tmp_path):
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(3)]
    nothing = Boxes(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    sizes = []
    for rows, names in ((2, 'ab'), (3, 'ab'), (3, 'abc')):
        png = tmp_path / 'a.png'
        draw_comparison(
            png,
            images[:rows],
            [random_boxes(rng, 2, scored=False) for _ in range(rows)],
            {name: [nothing] * rows for name in names},
            CLASSES,
        )
        with Image.open(png) as picture:
            sizes.append(picture.size)
    (a, b), (c, d), (e, f) = sizes
    assert a == c < e and b < d == f
