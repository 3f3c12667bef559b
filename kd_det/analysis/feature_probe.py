"""Collect feature maps and channel contributions."""

import copy
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from kd_det import random_state
from kd_det.analysis import features
from kd_det.connectors.split import ChannelSplit
from kd_det.distillers import FeatureDistiller
from kd_det.distillers.levels import is_deep, maps_of, run_transformer
from kd_det.masks import mask_of, zero_outside
from kd_det.taps import FeatureTap


class FeatureProbe:
    """Collect the feature maps of a network batch by batch.

    Args:
        model: The network; set to eval mode.
        distiller: Bound distiller whose tap points are used.
        side: ``'student'`` or ``'teacher'``.
    """

    def __init__(
        self, model: nn.Module, distiller: FeatureDistiller, side: str
    ) -> None:
        self.model = model.eval()
        place = side == 'teacher'
        self.points = distiller.teacher_points if place else distiller.points
        self.levels = [pair[place] for pair in distiller.levels]
        self.split: ChannelSplit | None = None
        self.halves = 'inherit', 'explore'  # names of the two halves
        self.strides = [0] * len(self.levels)
        self.rows: list[list[Tensor]] = [[] for _ in self.levels]
        self.given: list[list[Tensor]] = [[] for _ in self.levels]
        self._labels: list[Tensor] = []

    def look(self, data: dict) -> None:
        """Add a batch: feature rows and contributions to the loss."""
        batch = self.model.data_preprocessor(copy.deepcopy(data), False)
        samples = batch['data_samples']
        inputs = batch['inputs'].requires_grad_()
        with random_state.isolated(), _open(self.model) as model:
            with FeatureTap(model, self.points) as records:
                losses = model(inputs, samples, mode='loss')
                if is_deep(self.points):
                    feats = model.extract_feat(inputs)
                    run_transformer(model, feats, samples, self.points)
            maps = maps_of(records)
            maps = [maps[level] for level in self.levels]
            total, _ = model.parse_losses(losses)
            gradients = torch.autograd.grad(total, maps)
        size = inputs.shape[2:]
        for level, (x, gradient) in enumerate(zip(maps, gradients)):
            x = x.detach().float()
            stride = self.strides[level] = round(size[1] / x.shape[3])
            x = zero_outside(x, mask_of(x, samples, stride))
            given = features.contributions(x, gradient.float())
            self.given[level].append(given.cpu())
            self.rows[level].append(_rows(x, samples, size).cpu())
        self._labels.append(_labels(samples).cpu())

    def labels(self) -> Tensor:
        """Return the class of each row."""
        return torch.cat(self._labels)

    def parts(self, level: int) -> dict[str, Tensor]:
        """Return the features of all channels, and of the halves if any."""
        width = self.rows[level][0].shape[1]
        parts = {'': torch.arange(width)}
        if self.split is not None:
            parts |= {
                f' {name}': getattr(self.split, f'{half}{level}')
                for name, half in zip(self.halves, ('inherit', 'explore'))
            }
        return {name: part for name, part in parts.items() if len(part)}


@contextmanager
def _open(model: nn.Module):
    """Enable gradients in the network of a FrozenTeacher."""
    held = vars(model).pop('extract_feat', None)
    try:
        yield model
    finally:
        if held is not None:
            model.extract_feat = held


def _rows(x: Tensor, samples: list, size: torch.Size) -> Tensor:
    if not hasattr(samples[0], 'gt_instances'):
        return x.mean((2, 3))
    strides = size[0] / x.shape[2], size[1] / x.shape[3]
    return torch.cat(
        [
            features.box_means(own, _boxes(sample), strides)
            for own, sample in zip(x, samples)
        ]
    )


def _boxes(sample) -> Tensor:
    boxes = sample.gt_instances.bboxes
    return getattr(boxes, 'tensor', boxes)


def _labels(samples: list) -> Tensor:
    return torch.cat(
        [
            sample.gt_instances.labels
            if hasattr(sample, 'gt_instances')
            else sample.gt_label
            for sample in samples
        ]
    )
