"""Training images with their boxes, as augmentation leaves them."""

from pathlib import Path

import numpy as np
from torch import Tensor, nn
from torch.utils.data import Dataset

from kd_det import random_state
from kd_det.analysis.pictures import Boxes, draw_truth

COUNT = 12  # images on a sheet


def draw_sheet(
    dataset: Dataset,
    model: nn.Module,
    classes: tuple[str, ...],
    path: str | Path,
) -> dict[str, int]:
    """Write a PNG of images that are evenly spread over a set.

    Args:
        dataset: As the training loader reads it, with its augmentation.
        model: Of the run; its preprocessor says the order of the channels.
        classes: Names of the labels.
        path: The PNG.

    Returns:
        How many images and boxes are shown.
    """
    count = min(COUNT, len(dataset))
    with random_state.isolated():
        samples = [dataset[i * len(dataset) // count] for i in range(count)]
    own = getattr(model, 'student', model).data_preprocessor
    images = [_rgb(sample['inputs'], swaps(own)) for sample in samples]
    truth = [
        _boxes(sample['data_samples'], image.shape)
        for sample, image in zip(samples, images)
    ]
    draw_truth(path, images, truth, classes)
    return dict(shown=count, boxes=sum(len(t.labels) for t in truth))


def swaps(preprocessor: nn.Module) -> bool:
    """Return whether a preprocessor turns BGR images into RGB, or back."""
    other = getattr(preprocessor, '_channel_conversion', False)
    return bool(getattr(preprocessor, 'to_rgb', other))


def _rgb(inputs: Tensor, swapped: bool) -> np.ndarray:
    pixels = inputs.permute(1, 2, 0).clamp(0, 255).byte().cpu().numpy()
    if pixels.shape[2] == 1:
        return pixels.repeat(3, 2)
    return np.ascontiguousarray(pixels[..., ::-1] if swapped else pixels)


def _boxes(sample, shape: tuple[int, ...]) -> Boxes:
    """Return the objects of a sample; the class of an image frames it."""
    if 'gt_instances' in sample:
        boxes = sample.gt_instances.bboxes
        boxes = getattr(boxes, 'tensor', boxes).numpy()
        return Boxes(boxes, sample.gt_instances.labels.numpy())
    height, width = shape[:2]
    labels = sample.gt_label.numpy() if 'gt_label' in sample else np.zeros(0)
    frame = [[1, 1, width - 1, height - 1]] * len(labels)
    return Boxes(np.array(frame, float).reshape(-1, 4), labels.astype(int))
