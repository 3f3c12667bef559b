"""Collect feature maps and channel contributions."""

import copy
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from kd_det import random_state
from kd_det.analysis import features
from kd_det.analysis.logit_probe import LogitProbe, boxes_of
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
        columns: Classes whose logits are collected; None: none.
    """

    def __init__(
        self,
        model: nn.Module,
        distiller: FeatureDistiller,
        side: str,
        columns: Tensor | None = None,
    ) -> None:
        self.model = model.eval()
        place = side == 'teacher'
        self.answers = LogitProbe(model, columns, regions=place)
        self.points = distiller.teacher_points if place else distiller.points
        self.levels = [pair[place] for pair in distiller.levels]
        self.split: ChannelSplit | None = None
        self.halves = 'inherit', 'explore'  # names of the two halves
        self.strides = [0] * len(self.levels)
        self.rows: list[list[Tensor]] = [[] for _ in self.levels]
        self.given: list[list[Tensor]] = [[] for _ in self.levels]
        self._labels: list[Tensor] = []

    def look(self, data: dict) -> None:
        """Add a batch: features, contributions to the loss, logits."""
        batch = self.model.data_preprocessor(copy.deepcopy(data), False)
        samples = batch['data_samples']
        inputs = batch['inputs'].requires_grad_()
        with random_state.isolated(), _open(self.model) as model:
            with (
                FeatureTap(model, self.points) as records,
                FeatureTap(model, self.answers.points) as answers,
            ):
                losses = model(inputs, samples, mode='loss')
                if is_deep(self.points):
                    feats = model.extract_feat(inputs)
                    run_transformer(model, feats, samples, self.points)
            maps = self._chosen(records)
            self.answers.add(answers, samples)
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

    @torch.no_grad()
    def maps(self, data: dict) -> tuple[list[Tensor], tuple[int, int]]:
        """Return the feature maps of a batch, and the size of its images.

        Args:
            data: A batch as a loader gives it; it is not added.

        Returns:
            The maps (N, C, H, W), and height and width in pixels with padding.
        """
        batch = self.model.data_preprocessor(copy.deepcopy(data), False)
        inputs, samples = batch['inputs'], batch['data_samples']
        with random_state.isolated(), _open(self.model) as model:
            with FeatureTap(model, self.points) as records:
                feats = model.extract_feat(inputs)
                run_transformer(model, feats, samples, self.points)
        return self._chosen(records), tuple(inputs.shape[2:])

    def _chosen(self, records: dict[str, list]) -> list[Tensor]:
        maps = maps_of(records)
        return [maps[level] for level in self.levels]

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
    """Run the network of a FrozenTeacher exactly, with gradients."""
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
            features.box_means(own, boxes_of(sample), strides)
            for own, sample in zip(x, samples)
        ]
    )


def _labels(samples: list) -> Tensor:
    return torch.cat(
        [
            sample.gt_instances.labels
            if hasattr(sample, 'gt_instances')
            else sample.gt_label
            for sample in samples
        ]
    )
