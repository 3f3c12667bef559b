"""Images of all kinds become pictures of a page."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from kd_det.analysis.report_images import LONGEST, _picture

RAMP = np.tile(np.linspace(0, 250, 40), (20, 1))  # 20 high, 40 wide


class Images:
    """A data set of one image, in memory or in a file."""

    def __init__(self, **info):
        self.info = info

    def get_data_info(self, index):
        return dict(self.info)


def shown(dataset, load=None):
    picture = _picture(dataset, 7, load)
    head, _, text = picture.data.partition(',')
    assert head == 'data:image/jpeg;base64'
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    return picture, np.asarray(image).astype(float)


@pytest.mark.parametrize(
    'pixels',
    [
        RAMP.astype(np.uint8),
        RAMP.astype(np.float32)[..., None],
        np.stack([RAMP, 0 * RAMP], axis=2).astype(np.uint8),  # and alpha
        (RAMP * 255).astype(np.uint16),
    ],
    ids=['grey', 'one channel', 'alpha', '16 bits'],
)
def test_grey(pixels):
    picture, seen = shown(Images(img=pixels))
    assert (picture.width, picture.height, picture.name) == (40, 20, '7')
    assert seen.shape == (20, 40, 3)
    expected = RAMP * (255 / 250 if pixels.dtype == np.uint16 else 1)
    assert np.abs(seen - expected[..., None]).max() < 12


def test_colours_and_size():
    """Of a file in MMCV's order; the boxes' size is that of the file."""
    blue = np.zeros((1000, 500, 3), np.uint8)
    blue[..., 0] = 200
    dataset = Images(img_path='a/b\\c/x.png')
    picture, seen = shown(dataset, lambda info: dict(img=blue))
    assert (picture.width, picture.height) == (500, 1000)
    assert picture.name == 'x.png'
    assert seen.shape == (LONGEST, LONGEST // 2, 3)
    assert np.abs(seen.mean((0, 1)) - [0, 0, 200]).max() < 8
    _, seen = shown(Images(img=blue))
    assert seen[..., 0].mean() > 190
