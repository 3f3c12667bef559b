"""Random detector batches: images, boxes, labels and masks."""

import numpy as np
import torch
from torch import nn

OBJECTS = 3  # per image


def tiny_batch(
    model: nn.Module,
    num_images: int = 2,
    size: tuple[int, int] = (64, 96),
    num_classes: int = 6,
    seed: int = 0,
    without_objects: tuple[int, ...] = (),
) -> dict:
    """Return a collated batch of random images with objects.

    Use it as ``model(**model.data_preprocessor(batch, True), mode='loss')``.

    Args:
        model: An MMDetection detector or a ``DistillModel``. With a mask head
            the batch includes masks, the ellipses inside the boxes.
        num_images: Batch size.
        size: Height and width in pixels.
        num_classes: Number of classes of the random labels.
        seed: Random seed.
        without_objects: Indices of images without objects.

    Returns:
        ``inputs``, a list of uint8 images (3, H, W), and ``data_samples``, a
        list of ``DetDataSample`` with three objects each.
    """
    # imported here, since kd_det.registry must be imported before MMDetection
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    height, width = size
    rng = np.random.default_rng(seed)
    inputs, data_samples = [], []
    for index in range(num_images):
        pixels = rng.integers(0, 256, (3, height, width), np.uint8)
        count = 0 if index in without_objects else OBJECTS
        boxes = _boxes(rng, count, height, width)
        objects = InstanceData(
            bboxes=HorizontalBoxes(torch.from_numpy(boxes)),
            labels=torch.from_numpy(rng.integers(0, num_classes, count)),
        )
        if getattr(getattr(model, 'student', model), 'with_mask', False):
            objects.masks = BitmapMasks(
                _ellipses(boxes, height, width), height, width
            )
        sample = DetDataSample(
            metainfo=dict(
                img_id=index,
                img_path=f'{index}.png',
                img_shape=size,
                ori_shape=size,
                scale_factor=(1.0, 1.0),
            ),
            gt_instances=objects,
        )
        inputs.append(torch.from_numpy(pixels))
        data_samples.append(sample)
    return dict(inputs=inputs, data_samples=data_samples)


def _boxes(
    rng: np.random.Generator, count: int, height: int, width: int
) -> np.ndarray:
    """Return boxes with sides of 1/4 to 3/4 of the image."""
    sides = np.array([width, height], np.float32)
    extent = rng.uniform(0.25, 0.75, (count, 2)).astype(np.float32) * sides
    corner = rng.random((count, 2), np.float32) * (sides - extent)
    return np.concatenate([corner, corner + extent], axis=1)


def _ellipses(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] + 0.5
    x, y = columns[None], rows[None]
    left, top, right, bottom = boxes.T[:, :, None, None]
    dx = (2 * x - left - right) / (right - left)
    dy = (2 * y - top - bottom) / (bottom - top)
    return (dx**2 + dy**2 <= 1).astype(np.uint8)
