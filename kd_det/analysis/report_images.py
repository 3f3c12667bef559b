"""The validation images of a run, small enough for a page."""

import base64
import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, TRANSFORMS, init_default_scope
from PIL import Image

from kd_det.config_data import leaf_datasets
from kd_det.errors import UserError
from kd_det.evaluation.predictions import BoxPredictions, Predictions

LONGEST = 480  # pixels of the longer side
QUALITY = 80  # of the JPEG


@dataclass(frozen=True)
class Picture:
    """An image in a page.

    Attributes:
        name: Of its file, or its number in the set.
        width: Of the original, in which boxes are given.
        height: The same.
        data: A ``data:`` address.
    """

    name: str
    width: int
    height: int
    data: str


def pictures(
    cfg: Config, predictions: Predictions, images: list[int]
) -> list[Picture]:
    """Read images of the validation set that a config describes.

    Args:
        cfg: Of a run, with its validation data.
        predictions: Of that run.
        images: Places in the predictions.

    Raises:
        UserError: The set or an image cannot be read, or the set is another
            one than that of the predictions.
    """
    settings = cfg.val_dataloader.dataset
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # COCO prints
            dataset = DATASETS.build(settings)
        load = _loader(settings)
        places = _places(dataset, predictions)
        return [_picture(dataset, places[image], load) for image in images]
    except Exception as error:  # whatever a data set does without its files
        root = next(leaf_datasets(settings)).get('data_root')
        where = f' at data_root={root!r}' if root else ''
        raise UserError(
            f'the validation images cannot be read{where} '
            f'({type(error).__name__}: {error}); start the command in the '
            'folder in which the runs were started, with the data in its '
            'place'
        ) from None


def _places(dataset, predictions: Predictions) -> list[int]:
    """Return where in the data set each image of the predictions is."""
    if not isinstance(predictions, BoxPredictions):
        if len(dataset) != predictions.num_images:
            raise UserError(
                f'it has {len(dataset)} images and the run had '
                f'{predictions.num_images}'
            )
        return [*range(len(dataset))]
    found = {
        dataset.get_data_info(index)['img_id']: index
        for index in range(len(dataset))
    }
    return [found[image] for image in predictions.image_ids.tolist()]


def _loader(settings: dict) -> Callable[[dict], dict]:
    """Return what reads an image as the run did: its first transform."""
    pipeline = next(leaf_datasets(settings)).get('pipeline') or []
    for transform in pipeline:
        if 'LoadImage' in str(transform['type']):
            return TRANSFORMS.build(transform)
    return lambda info: info


def _picture(dataset, index: int, load: Callable[[dict], dict]) -> Picture:
    info = dataset.get_data_info(index)
    path = info.get('img_path')
    # a data set that has its images in memory has them in RGB
    pixels = _rgb(load(info)['img'], bgr=True) if path else _rgb(info['img'])
    image = Image.fromarray(pixels)
    width, height = image.size
    image.thumbnail((LONGEST, LONGEST))
    file = io.BytesIO()
    image.save(file, 'JPEG', quality=QUALITY)
    text = base64.b64encode(file.getvalue()).decode()
    name = str(path).replace('\\', '/').rpartition('/')[2] if path else index
    return Picture(str(name), width, height, f'data:image/jpeg;base64,{text}')


def _rgb(pixels: np.ndarray, bgr: bool = False) -> np.ndarray:
    """Return an image as RGB, uint8 (H, W, 3); one of 16 bits is scaled."""
    pixels = np.atleast_3d(np.asarray(pixels))
    if pixels.max(initial=0) > 255:
        pixels = pixels * (255 / pixels.max())
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    if pixels.shape[2] < 3:  # grey, perhaps with a mask
        return np.repeat(pixels[..., :1], 3, axis=2)
    return np.ascontiguousarray(pixels[..., 2::-1] if bgr else pixels[..., :3])
