"""Draw augmented training images with their boxes."""

from pathlib import Path

import numpy as np
from torch import nn
from torch.utils.data import Dataset

from kd_det import random_state
from kd_det.analysis.pictures import Boxes, draw_truth, rgb, swaps

COUNT = 12  # images on a sheet


def draw_sheet(
    dataset: Dataset,
    model: nn.Module,
    classes: tuple[str, ...],
    path: str | Path,
) -> dict[str, int]:
    """Write a PNG of images evenly spaced over a data set.

    Args:
        dataset: The training data set, with its augmentation.
        model: The run's model; its preprocessor determines the channel order.
        classes: Class names in label order.
        path: The PNG file.

    Returns:
        The numbers of images and boxes shown.
    """
    count = min(COUNT, len(dataset))
    with random_state.isolated():
        samples = [dataset[i * len(dataset) // count] for i in range(count)]
    own = getattr(model, 'student', model).data_preprocessor
    images = [rgb(sample['inputs'], swaps(own)) for sample in samples]
    truth = [
        _boxes(sample['data_samples'], image.shape)
        for sample, image in zip(samples, images)
    ]
    draw_truth(path, images, truth, classes)
    return dict(shown=count, boxes=sum(len(t.labels) for t in truth))


def _boxes(sample, shape: tuple[int, ...]) -> Boxes:
    """Return a sample's objects; for an image class, a frame of the image."""
    if 'gt_instances' in sample:
        boxes = sample.gt_instances.bboxes
        boxes = getattr(boxes, 'tensor', boxes).numpy()
        return Boxes(boxes, sample.gt_instances.labels.numpy())
    height, width = shape[:2]
    labels = sample.gt_label.numpy() if 'gt_label' in sample else np.zeros(0)
    frame = [[1, 1, width - 1, height - 1]] * len(labels)
    return Boxes(np.array(frame, float).reshape(-1, 4), labels.astype(int))
