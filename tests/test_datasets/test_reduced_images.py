"""JPEG at a fraction of its size: the same picture, the same boxes."""

import cv2
import numpy as np
import pycocotools.mask as rle
import pytest
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope
from PIL import Image

from kd_det.datasets.reduced_images import LoadReducedImage
from kd_det.errors import UserError

BOX = [40.0, 60.0, 200.0, 140.0]


@pytest.fixture
def picture(tmp_path):
    """A smooth image of 320 x 240 with a bright rectangle at the box."""
    init_default_scope('mmdet')
    y, x = np.mgrid[:240, :320]
    image = np.stack([x / 3, y / 2, (x + y) / 5], 2).astype(np.uint8)
    image[60:140, 40:200] = 250

    def write(name, **options):
        path = str(tmp_path / name)
        Image.fromarray(image[..., ::-1]).save(path, **options)
        return path

    return write


def run(path, *transforms):
    """What a pipeline of mmdet makes of it."""
    boxes = [dict(bbox=BOX, bbox_label=0, ignore_flag=0)]
    pipeline = Compose(
        [
            *transforms,
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='Resize', scale=(110, 110), keep_ratio=True),
        ]
    )
    return pipeline(dict(img_path=path, instances=boxes))


@pytest.mark.parametrize(
    ('scale', 'width'),
    [((110, 110), 160), ((160, 160), 160), ((161, 161), 320), ((30, 80), 40)],
)
def test_the_smallest_that_is_large_enough(picture, scale, width):
    results = LoadReducedImage(scale)(
        dict(img_path=picture('a.jpg', quality=95))
    )
    assert results['img'].shape == (width * 3 // 4, width, 3)
    assert results['img_shape'] == results['img'].shape[:2]


@pytest.mark.parametrize('key', ['seg_map_path', 'proposals'])
def test_what_is_not_scaled_needs_the_whole_image(picture, key):
    results = {'img_path': picture('a.jpg'), key: np.zeros((1, 4))}
    found = LoadReducedImage((110, 110))(results)
    assert found['img_shape'] == (240, 320)


def test_a_pipeline_gets_the_same(picture):
    path = picture('a.jpg', quality=95)
    fast = run(path, dict(type='kd_det.LoadReducedImage', scale=(110, 110)))
    full = run(path, dict(type='LoadImageFromFile'))
    assert fast['img'].shape == full['img'].shape
    change = np.abs(fast['img'].astype(int) - full['img'])
    assert change.mean() < 1.5
    boxes = [part['gt_bboxes'].tensor.numpy() for part in (fast, full)]
    np.testing.assert_allclose(*boxes, rtol=1e-6)
    scaled = cv2.resize(full['img'], None, fx=1, fy=1)
    assert scaled.shape == fast['img'].shape


def test_polygons(picture):
    own = dict(bbox=BOX, mask=[[40, 60, 200, 60, 200, 140]])
    results = LoadReducedImage((80, 80))(
        dict(img_path=picture('a.jpg'), instances=[own])
    )
    (found,) = results['instances']
    assert found['bbox'] == [10, 15, 50, 35]
    assert found['mask'] == [[10, 15, 50, 15, 50, 35]]
    assert own['bbox'] == BOX  # of the data set


def test_a_turned_photograph(picture):
    """OpenCV turns it; the header has its sides as they are stored."""
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    path = picture('turned.jpg', exif=exif)
    own = dict(bbox=[0, 0, 240, 320])  # all of it, as it is shown
    results = LoadReducedImage((80, 80))(dict(img_path=path, instances=[own]))
    assert results['img'].shape == (80, 60, 3)
    assert results['instances'][0]['bbox'] == [0, 0, 60, 80]


def test_other_files_are_loaded_as_they_are(picture):
    path = picture('a.png')
    results = LoadReducedImage((80, 80))(dict(img_path=path))
    assert results['img'].shape == (240, 320, 3)


def test_after_the_annotations(picture):
    path = picture('a.jpg')
    with pytest.raises(UserError, match='put it first'):
        LoadReducedImage((80, 80))(dict(img_path=path, gt_bboxes=[]))


@pytest.mark.parametrize('compressed', [True, False])
def test_masks_of_crowds(picture, compressed):
    pixels = np.zeros((240, 320), np.uint8, order='F')
    pixels[60:140, 40:200] = 1
    mask = rle.encode(pixels)
    mask['counts'] = mask['counts'].decode()
    if not compressed:
        zeros = 60 + 40 * 240
        runs = [zeros, *[80, 160] * 159, 80]
        mask['counts'] = [*runs, 240 * 320 - sum(runs)]
    polygon = [[40, 60, 200, 60, 200, 140, 40, 140]]
    pipeline = Compose(
        [
            LoadReducedImage((160, 120)),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        ]
    )
    found = pipeline(
        dict(
            img_path=picture('a.jpg'),
            instances=[
                dict(bbox=BOX, bbox_label=0, ignore_flag=flag, mask=own)
                for flag, own in enumerate([polygon, mask])
            ],
        )
    )
    one, other = found['gt_masks'].masks
    assert one.shape == (120, 160) and (one == other).all()
    assert found['gt_ignore_flags'].tolist() == [False, True]
