"""Boxes that can only be meant in another way than they are read."""

import numpy as np
import pytest

from kd_det.preflight.boxes import READINGS, overhang

WAYS = {
    'left, top, right, bottom': lambda x, y, w, h: [x, y, x + w, y + h],
    'centre x, centre y, width, height': lambda x, y, w, h: [
        x + w / 2,
        y + h / 2,
        w,
        h,
    ],
    'top, left, bottom, right': lambda x, y, w, h: [y, x, y + h, x + w],
    'left, right, top, bottom': lambda x, y, w, h: [x, x + w, y, y + h],
    'top, left, height, width': lambda x, y, w, h: [y, x, h, w],
}


def rewritten(way, every=1):
    """Write the boxes in another way, of images that are 96x48."""

    def run(table):
        for image in table['images']:
            image.update(width=96, height=48)
        for entry in table['annotations'][::every]:
            x, y, w, h = entry['bbox']
            # all over an image that is wider than high
            entry['bbox'] = way(1.5 * x, 0.75 * y, 1.5 * w, 0.75 * h)
            entry['area'] = 10.0  # of a mask: it proves nothing

    return run


@pytest.mark.parametrize('name', WAYS)
@pytest.mark.parametrize('split', ['train', 'val'])
def test_boxes_written_in_another_way(refused, name, split):
    # no image is read, since those of the shapes are square
    text = refused(rewritten(WAYS[name]), (split,), pipeline=[])
    assert f'seem to be [{name}] (as such, they lie in their images)' in text
    assert 'MMDetection wants [left, top, width, height] in pixels' in text


def test_each_reading_is_the_inverse():
    box = (3.0, 5.0, 20.0, 10.0)
    assert READINGS.keys() == WAYS.keys()
    for name, reading in READINGS.items():
        assert reading(*WAYS[name](*box)) == box


def test_boxes_as_they_are_wanted(check):
    def same(*box):
        return list(box)

    [report] = check(rewritten(same), pipeline=[])
    assert report.facts['over the border'] == 0


def test_corners_that_stay_in_their_images(refused):
    """The stated areas betray them."""

    def corners(table):
        for image in table['images']:
            image.update(width=200, height=200)
        for entry in table['annotations']:
            x, y, w, h = entry['bbox']
            entry.update(bbox=[x, y, x + w, y + h], area=w * h)

    text = refused(corners, pipeline=[])
    assert '[left, top, right, bottom] (their areas match that)' in text
    assert '0 of the 39 extend beyond their images' in text


def test_fractions_of_the_image(refused):
    def some(table):
        for entry in table['annotations'][::3]:
            entry['bbox'] = [number / 64 for number in entry['bbox']]

    for split, count in (('train', '13 of the 39'), ('val', '6 of the 16')):
        text = refused(some, (split,))
        assert f'{count} boxes of' in text
        assert 'have four numbers from 0 to 1' in text
        assert 'multiply them by the size of the image' in text


@pytest.mark.parametrize(
    'size, what',
    [
        (float('nan'), 'a number that is not finite'),
        (float('inf'), 'a number that is not finite'),
        (-5, 'a width or height below 0'),
    ],
)
@pytest.mark.parametrize('place', [2, 3])
@pytest.mark.parametrize('split', ['train', 'val'])
def test_one_size_that_is_none(refused, size, what, place, split):
    def spoil(table):
        table['annotations'][3]['bbox'][place] = size

    text = refused(spoil, (split,))
    assert f'1 of the {39 if split == "train" else 16} boxes of' in text
    assert what in text and 'annotation 4' in text


def test_sizes_of_zero(refused, check):
    def flat(table):
        for entry in table['annotations'][::10]:
            entry['bbox'][3] = 0

    text = refused(flat)
    assert '4 of the 39 boxes of' in text
    assert 'a width or height of 0' in text


def test_one_size_of_zero_among_many(check):
    """COCO itself has such boxes."""

    def flat(table):
        many = [
            dict(entry, id=1000 + number)
            for number, entry in enumerate(3 * table['annotations'])
        ]
        table['annotations'] += many
        table['annotations'][0] = dict(table['annotations'][0])
        table['annotations'][0]['bbox'] = [5, 5, 5, 0]

    [report] = check(flat)
    [warning] = [w for w in report.warnings if 'thinner' in w]
    assert '1 of the 156 boxes are thinner than a pixel' in warning
    assert '[5, 5, 5, 0]' in warning


def shifted(count, by):
    def run(table):
        for entry in table['annotations'][:count]:
            entry['bbox'][0] += by

    return run


def test_most_boxes_leave_their_images(refused):
    text = refused(shifted(30, 50))
    assert 'are implausible' in text
    assert 'extend beyond their images' in text


def test_some_boxes_leave_their_images(check):
    [report] = check(shifted(8, 40))
    [warning] = [w for w in report.warnings if 'by more than a pixel' in w]
    count = report.facts['over the border']
    assert 0 < count <= 8
    assert f'{count} of the ' in warning


def test_a_pixel_over_the_border_is_rounding(check):
    def shift(table):
        for entry in table['annotations']:
            x, y, w, h = entry['bbox']
            entry['bbox'] = [-1, -0.5, x + w + 1, y + h + 0.5]

    [report] = check(shift)
    assert report.facts['over the border'] == 0


def test_overhang_by_hand():
    boxes = np.array(
        [[-3.0, 0, 5, 5], [8, 8, 4, 1], [2, 5, 1, 9], [1, 1, 1, 1]]
    )
    room = np.array([[10.0, 10]] * 4)
    assert overhang(boxes, room).tolist() == [3, 2, 4, -1]
