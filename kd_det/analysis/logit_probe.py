"""Collect logits: of images and their regions, or of annotated objects."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from kd_det.distillers.box_heads import count_heads, rows_of
from kd_det.distillers.logit import class_layers
from kd_det.errors import UserError
from kd_det.functional import region_pool
from kd_det.taps import find_module

SCALES = (1, 2, 4)  # the whole image, 2 x 2 cells, 4 x 4 cells
TOLERANCE = 0.01  # of the largest logit


class LogitProbe:
    """Collect logits batch by batch.

    Those of a classifier are of images; those of a two-stage detector are its
    box head's on annotated boxes, without background. Of other networks
    nothing is collected.

    Args:
        model: The network.
        columns: Classes to collect, in order; None: nothing.
        regions: Whether to collect a classifier's logits of regions, too.

    Attributes:
        points: Tap points to be recorded when the network is run.
    """

    def __init__(
        self,
        model: nn.Module,
        columns: Tensor | None,
        regions: bool = False,
    ) -> None:
        self.model = model
        self.columns = columns
        self.layers = _layers(model, columns)
        self.points = {path: path for path in self.layers}
        self.has_box_head = not self.layers and _has_box_head(model, columns)
        if self.has_box_head:
            neck = getattr(model, 'with_neck', False)
            self.points['feats'] = 'neck' if neck else 'backbone'
        self._logits: list[Tensor] = []
        self._regions: list[Tensor] = []
        # the mean of several layers is not what regions are taught with
        self._by_region = regions and len(self.layers) == 1
        if self._by_region:
            self.points['map'] = 'backbone'

    @torch.no_grad()
    def add(self, records: dict[str, list], samples: list) -> None:
        """Add a batch.

        Args:
            records: What passed ``points``.
            samples: Its data samples, with boxes in pixels of the inputs.
        """
        if self.has_box_head:
            rois = torch.cat(
                [
                    pad(boxes_of(sample), (1, 0), value=image)
                    for image, sample in enumerate(samples)
                ]
            )
            found = self.model.roi_head._bbox_forward(
                records['feats'][0], rois
            )
            self._logits.append(found['cls_score'].cpu()[:, self.columns])
        if not self.layers:
            return
        logits = torch.stack([records[path][0] for path in self.layers])
        logits = logits.mean(0).float()
        self._logits.append(logits.cpu()[:, self.columns])
        if self._by_region:
            found = self._of_regions(records['map'][0])
            self._by_region = found is not None and _equal(found, logits)
        if self._by_region:
            self._regions.append(found.cpu()[:, self.columns])

    def logits(self) -> Tensor | None:
        """Return the logits (N, K), None if none were collected."""
        return torch.cat(self._logits) if self._logits else None

    def regions(self) -> Tensor | None:
        """Return the logits (N, K, 21) of the regions of ``SCALES``.

        None unless the classification layer takes the channel means of the
        last feature map.
        """
        return torch.cat(self._regions) if self._by_region else None

    def _of_regions(self, record: Tensor | tuple) -> Tensor | None:
        last = record[-1] if isinstance(record, (tuple, list)) else record
        layer = find_module(self.model, self.layers[0])
        if last.ndim != 4 or last.shape[1] != layer.in_features:
            return None
        cells = region_pool(last.float(), SCALES).transpose(1, 2)
        return layer(cells.to(layer.weight.dtype)).float().transpose(1, 2)


def boxes_of(sample) -> Tensor:
    """Return the annotated boxes (N, 4) of a data sample."""
    boxes = sample.gt_instances.bboxes
    return getattr(boxes, 'tensor', boxes)


def _equal(regions: Tensor, logits: Tensor) -> bool:
    """Return whether a head does no more than to average and classify."""
    gap = (regions[..., 0] - logits).abs().max()
    return bool(gap < TOLERANCE * logits.abs().max())


def _layers(model: nn.Module, columns: Tensor | None) -> list[str]:
    if columns is None:
        return []
    try:
        layers = class_layers(model, 'network')
    except UserError:  # a detector, or a network that embeds
        return []
    classes = find_module(model, layers[0]).out_features
    return layers if columns.max() < classes else []


def _has_box_head(model: nn.Module, columns: Tensor | None) -> bool:
    if columns is None:
        return False
    try:
        several = count_heads(model, 'network', model) > 1
    except UserError:
        return False
    if several:
        return False
    return bool(columns.max() < rows_of(model.roi_head.bbox_head) - 1)
