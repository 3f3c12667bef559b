"""A pipeline of small images, run in one go, not step by step."""

import numpy as np
import torch
from mmcv.transforms import RandomFlip
from mmengine.dataset import Compose
from mmpretrain.datasets import PackInputs, RandomCrop
from torch import Tensor

from kd_det import random_state

PROBES = 8  # images


class QuickPipeline:
    """Crop, flip and pack an image as MMPretrain's transforms do.

    The same random numbers are drawn in the same order, so an image comes out
    bit by bit as from the transforms.

    Args:
        transforms: Those of a pipeline that :func:`quick` accepts.
        example: What they make of an image.
    """

    def __init__(self, transforms: list, example: dict) -> None:
        self.padding = 0
        self.flips: float | None = None
        for transform in transforms:
            if isinstance(transform, RandomCrop):
                self.padding = transform.padding
            elif isinstance(transform, RandomFlip):
                # as in NumPy's choice between one direction and none
                cdf = np.cumsum([transform.prob, 1 - transform.prob])
                self.flips = cdf[0] / cdf[-1]
        self._kind = type(example['data_samples'])
        entries = vars(example['data_samples'])
        self._sets = {k: v for k, v in entries.items() if isinstance(v, set)}
        self._others = {k: entries[k] for k in entries if k not in self._sets}

    def __call__(self, image: np.ndarray, label: int, index: int) -> dict:
        """Return the packed sample of an image.

        Args:
            image: Shape (3, H, W), uint8.
            label: Its class.
            index: Its index in the data set.
        """
        top = left = 0
        if self.padding:
            # both at once, which draws the same numbers
            shifts = np.random.randint(0, 2 * self.padding + 1, 2)
            top, left = (shifts - self.padding).tolist()
        changed = dict(sample_idx=index, gt_label=torch.tensor([label]))
        flipped = False
        if self.flips is not None:
            flipped = bool(np.random.random_sample() < self.flips)
            direction = 'horizontal' if flipped else None
            changed.update(flip=flipped, flip_direction=direction)
        sample = self._kind.__new__(self._kind)
        entries = vars(sample)
        entries.update(self._others, **changed)
        for key, value in self._sets.items():
            entries[key] = value.copy()
        inputs = _cropped(image, top, left, flipped)
        return dict(inputs=inputs, data_samples=sample)


def quick(pipeline: Compose, infos: list[dict]) -> QuickPipeline | None:
    """Return a quick pipeline, or None where there is none for a pipeline.

    It is proven on some images: packed samples and the state of the random
    generators must be the same.

    Args:
        pipeline: Transforms that get an image of a data set.
        infos: Some of its images, with ``img`` and ``gt_label``.
    """
    transforms = pipeline.transforms
    if not infos or not _known(transforms):
        return None
    with random_state.isolated():
        example = pipeline(_copy(infos[0], 0))
        found = QuickPipeline(transforms, example)
        for number, info in enumerate(infos[:PROBES]):
            random_state.seed_all(number)
            image = info['img'].transpose(2, 0, 1)
            ours = found(image, info['gt_label'], number)
            drawn = np.random.random_sample()
            random_state.seed_all(number)
            theirs = pipeline(_copy(info, number))
            if drawn != np.random.random_sample() or not _same(ours, theirs):
                return None
    return found


def _known(transforms: list) -> bool:
    """Return whether transforms are a crop, a flip and packing, or less."""
    *others, last = transforms or [None]
    order = [RandomCrop, RandomFlip]
    kinds = [type(transform) for transform in others]
    if type(last) is not PackInputs or kinds not in (
        [],
        order[:1],
        order[1:],
        order,
    ):
        return False
    for transform in others:
        if isinstance(transform, RandomCrop):
            padding, size = transform.padding, tuple(transform.crop_size)
            if not (type(padding) is int and padding > 0 and size == (32, 32)):
                return False
        elif (type(transform.prob), transform.direction) != (
            float,
            'horizontal',
        ):
            return False
    return True


def _copy(info: dict, index: int) -> dict:
    return dict(info, img=info['img'].copy(), sample_idx=index)


def _same(ours: dict, theirs: dict) -> bool:
    """Return whether two packed samples are equal, bit by bit."""
    entries = [vars(part['data_samples']) for part in (ours, theirs)]
    return (
        ours.keys() == theirs.keys()
        and torch.equal(ours['inputs'], theirs['inputs'])
        and entries[0].keys() == entries[1].keys()
        and all(_equal(entries[0][k], entries[1][k]) for k in entries[0])
    )


def _equal(one, other) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return bool(one == other)


def _cropped(image: np.ndarray, top: int, left: int, flipped: bool) -> Tensor:
    """Return an image (3, H, W), shifted within zeros and perhaps flipped."""
    _, height, width = image.shape
    out = np.zeros((3, height, width), np.uint8)
    view = out[:, :, ::-1] if flipped else out
    view[
        :,
        max(-top, 0) : height - max(top, 0),
        max(-left, 0) : width - max(left, 0),
    ] = image[
        :,
        max(top, 0) : height + min(top, 0),
        max(left, 0) : width + min(left, 0),
    ]
    return torch.from_numpy(out)
