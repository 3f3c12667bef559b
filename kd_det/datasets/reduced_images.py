"""Load large JPEG files at a half, a quarter or an eighth of their size."""

import contextlib
import struct

import cv2
import mmengine.fileio as fileio
import numpy as np
import pycocotools.mask as rle
from mmcv.transforms import LoadImageFromFile

from kd_det.errors import UserError
from kd_det.registry import TRANSFORMS

FLAGS = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
}
# of the size of the whole image, and read by later transforms
UNSCALED = ('seg_map_path', 'proposals')


@TRANSFORMS.register_module()
class LoadReducedImage(LoadImageFromFile):
    """Load an image for training no larger than a later resize needs.

    A JPEG file is decoded at 1/2, 1/4 or 1/8 of its size, the smallest that is
    not below the size after a resize to ``scale`` that keeps the aspect ratio.
    Boxes and masks of the annotations are scaled alike, so that the
    following transforms, which must load the annotations later, see a smaller
    image. Other files are loaded as they are, and so are images with a
    segmentation map or with proposals, which are not scaled. Pixels differ
    slightly from a full decoding and resize, since JPEG averages before it
    samples, and so may a side of the resized image, by one pixel.

    It is for training pipelines: predictions would be those of the smaller
    image.

    Args:
        scale: (width, height) or (height, width) of the resize; the largest
            one, if it is random.

    Raises:
        UserError: The annotations have been loaded before it.
    """

    def __init__(self, scale: tuple[int, int]) -> None:
        super().__init__()
        self.scale = scale

    def transform(self, results: dict) -> dict:
        """Load the image, and scale the annotations.

        Args:
            results: With ``img_path`` and, for detection, ``instances``.
        """
        if 'gt_bboxes' in results:
            raise UserError(
                'LoadReducedImage comes after LoadAnnotations, whose boxes it '
                'cannot scale; put it first in the train_pipeline.'
            )
        if any(results.get(key) is not None for key in UNSCALED):
            return super().transform(results)
        content = fileio.get(results['img_path'])
        full = _size(content)
        flag = self._flag(full) if full else None
        if flag is None:
            return super().transform(results)
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
        if image is None:
            return super().transform(results)  # which tells that it is damaged
        if (full[0] > full[1]) != (image.shape[1] > image.shape[0]):
            full = full[::-1]  # turned by its EXIF orientation
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        ratios = image.shape[1] / full[0], image.shape[0] / full[1]
        if 'instances' in results:
            results['instances'] = [
                _scaled(instance, *ratios, image.shape[:2])
                for instance in results['instances']
            ]
        return results

    def _flag(self, full: tuple[int, int]) -> int | None:
        """Return how to decode a JPEG of some width and height, if smaller."""
        pairs = zip(sorted(self.scale), sorted(full))
        wanted = min(target / side for target, side in pairs)
        return next(
            (flag for f, flag in FLAGS.items() if 1 / f >= wanted), None
        )


def _size(content: bytes) -> tuple[int, int] | None:
    """Return width and height in the header of a JPEG; None of other files."""
    if not content.startswith(b'\xff\xd8'):
        return None
    place = 2
    with contextlib.suppress(struct.error):  # it ends early
        while content[place : place + 1] == b'\xff':
            marker, length = struct.unpack_from('>xBH', content, place)
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                height, width = struct.unpack_from('>HH', content, place + 5)
                return (width, height) if width and height else None
            place += 2 + length
    return None


def _scaled(
    instance: dict, x: float, y: float, shape: tuple[int, int]
) -> dict:
    """Return an annotation of a smaller image."""
    found = dict(instance)
    found['bbox'] = (np.array(instance['bbox']) * [x, y, x, y]).tolist()
    mask = instance.get('mask')
    if isinstance(mask, list):
        found['mask'] = [
            (np.reshape(polygon, (-1, 2)) * [x, y]).ravel().tolist()
            for polygon in mask
        ]
    elif isinstance(mask, dict) and {'counts', 'size'} <= {*mask}:
        found['mask'] = _smaller(mask, shape)
    return found


def _smaller(mask: dict, shape: tuple[int, int]) -> dict:
    """Return a run-length encoded mask, as crowds of COCO have, resized."""
    if isinstance(mask['counts'], list):
        mask = rle.frPyObjects(mask, *mask['size'])
    pixels = cv2.resize(
        rle.decode(mask), shape[::-1], interpolation=cv2.INTER_NEAREST
    )
    found = rle.encode(np.asfortranarray(pixels))
    # MMDetection ignores masks of bytes
    return dict(found, counts=found['counts'].decode())
