"""TeacherBoxHeads: runs the teacher's box heads on given RoIs."""

import inspect

import torch
from torch import Tensor, nn

from kd_det.distillers.advice import advice, distiller_for
from kd_det.distillers.class_outputs import USE, check_layer
from kd_det.distillers.roi_levels import on_levels
from kd_det.distillers.roi_passes import trained_pass
from kd_det.errors import UserError
from kd_det.taps import FeatureTap, find_module

EXTRACTOR, HEAD = 'roi_head.bbox_roi_extractor', 'roi_head.bbox_head'
# the input of the classification layer is the embedding, its output are the
# logits; the arguments of the head's loss contain the labels of the sampled
# RoIs
POINTS = {
    'rois': EXTRACTOR + '{stage}:input',
    'embed': HEAD + '{stage}.fc_cls:input',
    'logits': HEAD + '{stage}.fc_cls',
    'targets': HEAD + '{stage}.loss_cls:input',
    # input of a head's global average pooling
    'map': HEAD + '{stage}.avg_pool:input',
    # the arguments of the box loss contain the targets of foreground RoIs
    'deltas': HEAD + '{stage}.fc_reg',
    'box_targets': HEAD + '{stage}.loss_bbox:input',
}
# teacher only, if a loss needs boxes
BOXES = {
    'boxes': HEAD + '{stage}.fc_reg',
    'boxes_from': HEAD + '{stage}.fc_reg:input',
}


class TeacherBoxHeads:
    """The box head of a frozen detector, or the heads of a cascade.

    A stage of the student is mapped to the teacher's head of the same stage,
    or to its last head if it has fewer.

    Args:
        teacher: The ``FrozenTeacher`` of a detector.
        count: Number of its box heads, see :func:`count_heads`.
        pooled: Whether to record the input of its average pooling.
        boxes: Whether to record its box deltas.
    """

    def __init__(
        self, teacher: nn.Module, count: int, pooled: bool, boxes: bool
    ) -> None:
        self.teacher = teacher
        self.count = count
        keys = ['embed', 'logits', *['map'] * pooled]
        self.points = {key: POINTS[key] for key in keys} | (
            BOXES if boxes else {}
        )

    @property
    def model(self) -> nn.Module:
        """The teacher's network."""
        return self.teacher.model

    def number(self, stage: int) -> int:
        """Return the index of the head for a stage of the student."""
        return min(stage, self.count - 1)

    def suffix(self, stage: int) -> str:
        """Return the path suffix of that head: ``'.0'`` etc., or ''."""
        return f'.{self.number(stage)}' if self.count > 1 else ''

    def layer(self, stage: int, name: str) -> nn.Module:
        """Return a layer of that head, such as ``fc_cls``."""
        return find_module(self.model, f'{HEAD}{self.suffix(stage)}.{name}')

    def ask(
        self,
        feats: tuple[Tensor, ...],
        rois: Tensor,
        stage: int,
        by_level: list[Tensor] = (),
    ) -> dict[str, list]:
        """Run the head on RoIs and return the records of its taps.

        Args:
            feats: The teacher's feature maps.
            rois: RoIs (N, 5): image index, x1, y1, x2, y2 in pixels.
            stage: Stage of the student.
            by_level: The same RoIs from :func:`rois_by_level`, or empty.
        """
        rois = rois.to(feats[0].dtype)
        suffix = self.suffix(stage)
        points = {k: p.format(stage=suffix) for k, p in self.points.items()}
        number = [self.number(stage)] if suffix else []
        # created here: a stored tap would be copied along with the pair and
        # refer to copies of the teacher's layers
        extractor = find_module(self.model, f'{EXTRACTOR}{suffix}')
        with (
            FeatureTap(self.model, points) as records,
            on_levels(extractor, by_level),
            self.teacher.asked(),
        ):
            self.model.roi_head._bbox_forward(*number, feats, rois)
        records = self.teacher.plain(dict(records))
        if self.teacher.halved:  # the last layers are cheap
            self._refine(records, stage)
        return records

    @torch.no_grad()
    def _refine(self, records: dict[str, list], stage: int) -> None:
        """Compute logits and boxes again, in the weights' dtype."""
        for key, source, name in (
            ('logits', 'embed', 'fc_cls'),
            ('boxes', 'boxes_from', 'fc_reg'),
        ):
            if key in records:
                layer = self.layer(stage, name)
                records[key] = [layer(*records[source][0])]

    @torch.no_grad()
    def sample(
        self, inputs: Tensor, samples: list, stage: int
    ) -> tuple[Tensor, Tensor]:
        """Return embeddings and labels of RoIs proposed by the teacher.

        Args:
            inputs: Images preprocessed for the teacher.
            samples: Data samples with boxes in pixels of ``inputs``.
            stage: Stage of the student.

        Returns:
            Embeddings (N, D) and the teacher's labels (N,), background
            last.
        """
        suffix = self.suffix(stage)
        points = {
            key: POINTS[key].format(stage=suffix)
            for key in ('rois', 'embed', 'logits', 'targets')
        }
        with FeatureTap(self.model, points) as records:
            self.model(inputs, samples, mode='loss')
        names = {key: key for key in points}
        own = trained_pass(records, names, "The teacher's box head")
        return embed_of(own), labels_of(own)

    def cross(
        self, name: str, embed: Tensor, stages: list[int], which: Tensor | None
    ) -> Tensor:
        """Apply a layer of the heads to the student's embedding.

        Args:
            name: Name of the layer.
            embed: Embeddings (N, D).
            stages: Distilled stages of the student.
            which: Stage of each row (N,), if there are several.
        """
        crossed = None
        for stage in stages:
            layer = self.layer(stage, name)
            made = layer(embed.to(layer.weight.dtype))
            if crossed is not None:
                made = made.where((which == stage)[:, None], crossed)
            crossed = made
        return crossed


def boxes_of(records: dict[str, list]) -> Tensor:
    """Return the deltas (N, 4) of the class with the largest logit.

    Args:
        records: Records from :meth:`TeacherBoxHeads.ask`.

    Raises:
        UserError: The box regression and classification layers have different
            inputs.
    """
    source = records['boxes_from'][0][0]
    if source.data_ptr() != embed_of(records).data_ptr():
        raise UserError(
            "A loss needs boxes, but the teacher's box head has a separate "
            'branch for them, so its box regression and classification '
            'layers have different inputs; remove BoxRegressionLoss.'
        )
    return of_best(records['boxes'][0], records['logits'][0])


def of_best(deltas: Tensor, logits: Tensor) -> Tensor:
    """Return the deltas (N, 4) of the class with the largest logit.

    Args:
        deltas: Deltas for each class, (N, 4 K), or one box for all, (N, 4).
        logits: Shape (N, K + 1), background last.
    """
    return of_class(deltas, logits[:, :-1].argmax(1))  # without background


def of_class(deltas: Tensor, classes: Tensor) -> Tensor:
    """Return the deltas (N, 4) of one class per row.

    Args:
        deltas: Deltas for each class, (N, 4 K), or one box for all, (N, 4).
        classes: Shape (N,).
    """
    deltas = deltas.unflatten(1, (-1, 4))
    if deltas.shape[1] == 1:  # one box for all classes
        return deltas[:, 0]
    return deltas.take_along_dim(classes[:, None, None], 1)[:, 0]


def embed_of(records: dict[str, list]) -> Tensor:
    """Return the recorded embeddings (N, D)."""
    record = records['embed'][0]
    # inputs are recorded as tuples, outputs are not
    return record[0] if isinstance(record, tuple) else record


def labels_of(records: dict[str, list]) -> Tensor:
    """Return the labels (N,) of the RoIs in a head's loss."""
    if records['targets']:
        return records['targets'][0][1]
    # the head skips its loss when nothing was sampled
    return embed_of(records).new_zeros(0, dtype=torch.long)


def count_heads(model: nn.Module, side: str, other: nn.Module) -> int:
    """Return the number of box heads of a detector.

    Args:
        model: A two-stage detector.
        side: Name of the network in messages.
        other: The other network of the pair, for the message.

    Raises:
        UserError: It has no box head with a classification layer ``fc_cls``.
    """
    roi_head = getattr(model, 'roi_head', None)
    head = getattr(roi_head, 'bbox_head', None)
    if distiller_for(model) != 'RoIDistiller':
        raise UserError(
            f'RoIDistiller reads the box head of a two-stage detector such as '
            f'FasterRCNN, and the {side} {type(model).__name__} has none with '
            f'a classification layer fc_cls; {advice(model, other)}'
        )
    several = isinstance(head, nn.ModuleList)
    stages = [*head] if several else [head]
    _check_inputs(roi_head, f"the {side}'s {type(model).__name__}", several)
    for stage in stages:
        check_layer(
            stage.fc_cls,
            f"The classification layer of the {side}'s {_kind(stage)}",
        )
    return len(stages)


def rows_of(head: nn.Module) -> int:
    """Return the number of classes of a box head, background included.

    Its classification layer may have more or fewer outputs.
    """
    return getattr(head, 'num_classes', head.fc_cls.out_features - 1) + 1


def _kind(module: nn.Module) -> str:
    return type(module).__name__


def _check_inputs(roi_head: nn.Module, who: str, several: bool) -> None:
    """Raise if a RoI head needs more than feature maps and RoIs.

    Args:
        roi_head: RoI head of the detector.
        who: Name of the detector in messages.
        several: Whether it is a cascade.
    """
    parameters = inspect.signature(roi_head._bbox_forward).parameters
    more = [*parameters.values()][3 if several else 2 :]
    needed = [
        p.name
        for p in more
        if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    if needed:
        raise UserError(
            'RoIDistiller runs box heads on RoIs alone, and the '
            f'{_kind(roi_head)} of {who} also needs {" and ".join(needed)}; '
            f'{USE}.'
        )


def check_context(roi_head: nn.Module, why: str) -> None:
    """Raise if a RoI head adds another branch to the RoI features.

    Args:
        roi_head: RoI head of a detector, such as HTC.
        why: Start of the message.
    """
    parameters = inspect.signature(roi_head._bbox_forward).parameters
    for name in parameters:
        branch = name.removesuffix('_feat')
        if branch != name and getattr(roi_head, f'with_{branch}', False):
            raise UserError(
                f'{why} {_kind(roi_head)} adds {name} to the RoI features, '
                f'which RoIDistiller does not compute; {USE}.'
            )
