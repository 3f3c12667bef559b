"""DenseDistiller: distils the heads of one-stage detectors."""

import torch
from torch import Tensor, nn

from kd_det.checks import check_scales
from kd_det.distillers.activations import of_softmax, warn_of_sigmoids
from kd_det.distillers.base import Distiller
from kd_det.distillers.class_outputs import USE
from kd_det.distillers.dense_boxes import (
    box_regions,
    check_coder,
    decoded,
)
from kd_det.distillers.dense_head import DenseHead, probe_head, rows_of
from kd_det.distillers.levels import HEAD, match_strides
from kd_det.distillers.objectness import (
    joint_logits,
    labels_of,
    rows_by_image,
)
from kd_det.distillers.rehearsal import rehearse
from kd_det.errors import UserError
from kd_det.masks import inside
from kd_det.registry import MODELS
from kd_det.taps import FeatureTap, find_module

OUTPUTS, TARGETS = HEAD, f'{HEAD}.loss_cls:input'
OBJECTS = f'{HEAD}.loss_obj:input'
REGIONS = {'student_region_logits', 'teacher_region_logits'}
CORNERS = {'student_corners', 'teacher_corners'}
EMBED = {'student_embed', 'teacher_embed', 'cross_logits'}


@MODELS.register_module()
class DenseDistiller(Distiller):
    """Distil the head of a one-stage detector: RetinaNet, FCOS, GFL, ….

    The levels of both heads are matched by stride. Fields with one row per
    foreground location (of the student's assigner): ``…_logits``, ``labels``,
    ``…_embed`` (input of the classification layer), ``cross_logits`` (the
    student's maps through the teacher's classification layer) and
    ``…_corners`` (logits of the box edge distributions of heads such as
    GFL's). Fields with one row per location: ``…_dense_logits`` with
    ``dense_foreground``, and ``dense_mask`` if images are padded;
    ``…_dense_boxes``, the predicted boxes in pixels. Fields with
    one row per annotated box: ``…_region_logits`` with ``region_labels``, the
    mean logits of the cells of the box.

    Logits of a head that also predicts objectness, such as YOLOX's, are those
    of the product of both probabilities.

    A connector for ``student_maps`` is applied to the input of the
    classification layer at each level.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        centroids: File with the teacher's class means, see ``CentroidHook``.
        connectors: See :class:`Distiller`; ``student_maps`` or
            ``student_embed``, not both.
        scales: Grid sizes for regional logits.
    """

    provides = (
        'student_logits',
        'teacher_logits',
        'student_embed',
        'teacher_embed',
        'cross_logits',
        'labels',
        'student_corners',
        'teacher_corners',
        'student_dense_logits',
        'teacher_dense_logits',
        'student_dense_boxes',
        'teacher_dense_boxes',
        'dense_foreground',
        'dense_mask',
        'student_region_logits',
        'teacher_region_logits',
        'region_labels',
    )
    connectable = ('student_maps',)
    feeds = {
        'student_maps': ('student_embed', 'cross_logits'),
        'student_embed': ('cross_logits',),  # rejected by _check_connected
    }

    def __init__(
        self,
        losses: dict,
        centroids: str | None = None,
        connectors: dict | None = None,
        scales: tuple[int, ...] = (1, 2),
    ) -> None:
        super().__init__(losses, centroids, connectors)
        self._check_connected()
        self.scales = check_scales(self, scales)
        self._ordered: set[str] = set()  # sides whose rows were compared
        self.embeds = bool(
            EMBED & self.asked or self.connectors.cfgs or centroids
        )

    def _check_connected(self) -> None:
        """Raise for a connector that a used field would bypass."""
        if 'student_embed' not in self.connectors.cfgs:
            return
        if 'student_maps' in self.connectors.cfgs:
            raise UserError(
                'connectors has student_maps and student_embed, which both '
                "produce the student's embedding; keep one of them."
            )
        if 'cross_logits' in self.asked:
            raise UserError(
                'connectors has student_embed, but a loss uses '
                "cross_logits, which are computed from the student's maps; "
                f'use connectors=dict({self._fitting_connector()}).'
            )

    def _fitting_connector(self) -> str:
        if 'cross_logits' in self.asked:
            return "student_maps=dict(type='ConvAdaptor')"
        return "student_embed=dict(type='LinearAdaptor')"

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`."""
        self.ours = probe_head(student, 'student', teacher.model)
        self.theirs = probe_head(teacher.model, 'teacher', student)
        self._check_heads()
        for side, network in (
            ('student', student),
            ('teacher', teacher.model),
        ):
            if f'{side}_dense_boxes' in self.asked:
                check_coder(network.bbox_head, side)
        softmax = of_softmax(self.losses, self.wiring)
        warn_of_sigmoids(softmax, 'teacher', teacher.model.bbox_head)
        self.levels = match_strides(
            self.ours.strides,
            self.theirs.strides,
            'use FeatureDistiller with taps',
        )
        self.num_rows = self.ours.classes
        self.points = _points(self.ours)
        if self.embeds:
            self.points |= _class_inputs(self.ours)
            self.check_widths(
                self.ours.width,
                self.theirs.width,
                f'add connectors=dict({self._fitting_connector()}) to the '
                'distiller',
            )
        self.points |= self.more_points(student, teacher.model)
        super().bind(name, student, teacher)
        rehearse(self)

    def more_points(self, student: nn.Module, teacher: nn.Module) -> dict:
        """Return further tap points of a subclass in the student.

        Args:
            student: The student network.
            teacher: The teacher network.

        Raises:
            UserError: A network lacks what the subclass reads.
        """
        return {}

    def _check_heads(self) -> None:
        ours, theirs = self.ours, self.theirs
        self.check_counts(ours.classes, theirs.classes)
        self.check_columns(ours.classes)
        if ours.anchors != theirs.anchors:
            raise UserError(
                f"The student's {ours.kind} predicts {ours.anchors} boxes "
                f"per location, the teacher's {theirs.kind} "
                f'{theirs.anchors}, so their predictions do not correspond; '
                'use FeatureDistiller on the levels of the neck.'
            )
        if CORNERS & self.asked and not ours.bins == theirs.bins > 1:
            raise UserError(
                'A loss needs student_corners, distributions of box edges: '
                f"the student's {ours.kind} has {ours.bins} values per edge, "
                f"the teacher's {theirs.kind} {theirs.bins}; both need the "
                "same number, at least two (GFL's reg_max + 1)."
            )
        if 'cross_logits' in self.asked and theirs.objectness:
            raise UserError(
                "A loss needs cross_logits, but the logits of the teacher's "
                f'{theirs.kind} include objectness, which its classification '
                'layer does not compute; use losses on logits.'
            )
        for side, head in (('student', ours), ('teacher', theirs)):
            if self.embeds and not head.layers:
                raise UserError(
                    f"The {side}'s {head.kind} has no convolution that "
                    'computes the class logits, so there is no embedding; '
                    'use losses on logits.'
                )

    def channels(self, field: str) -> tuple:
        """See :meth:`Distiller.channels`."""
        widths = self.ours.width, self.theirs.width
        if field == 'student_embed':
            return widths
        if field == 'student_maps':
            return tuple([width] * len(self.levels) for width in widths)
        return super().channels(field)

    def expected_bank(self) -> dict:
        """Return the width of the teacher's embedding and the classes."""
        return dict(width=self.theirs.width, num_rows=self.num_rows)

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the fields of one step; see :meth:`Distiller.read`."""
        ours, theirs = zip(*self.levels)
        outputs = dict(student=student['outputs'][0])
        mine = _pick(outputs['student'], ours, self.ours)
        records = self.look(feats)
        outputs['teacher'] = records['outputs'][0]
        other = _pick(outputs['teacher'], theirs, self.theirs)
        self._check_sizes(mine[0], other[0])
        if REGIONS & self.asked:
            self.warn_if_coarse('student', 'finest map', mine[0][0])
        labels = self._labels(student, ours)
        on_object = (labels >= 0) & (labels < self.num_rows)
        rows = on_object.nonzero()[:, 0]
        knowledge = dict(
            labels=labels[rows],
            dense_foreground=on_object,
            dense_mask=self._mask(mine[0], ours, samples),
        )
        for side, (scores, boxes) in (('student', mine), ('teacher', other)):
            classes = getattr(self, SIDES[side]).classes
            logits = torch.cat([rows_of(level, classes) for level in scores])
            knowledge[f'{side}_dense_logits'] = logits
            knowledge[f'{side}_logits'] = logits[rows]
            if CORNERS & self.asked:
                corners = [rows_of(b, 4 * self.ours.bins) for b in boxes]
                corners = torch.cat(corners)[rows]
                knowledge[f'{side}_corners'] = corners.unflatten(1, (4, -1))
            if REGIONS & self.asked:
                regions, region_labels = box_regions(
                    scores,
                    [self.ours.strides[i] for i in ours],
                    classes,
                    samples,
                    self.scales,
                )
                knowledge[f'{side}_region_logits'] = regions
                knowledge['region_labels'] = region_labels
        networks = self.student, self.teacher.model
        for side, network, levels in zip(SIDES, networks, (ours, theirs)):
            if f'{side}_dense_boxes' in self.asked:
                knowledge[f'{side}_dense_boxes'] = decoded(
                    network.bbox_head, outputs[side][1], levels
                )
        if self.embeds:
            locations = rows.div(self.ours.anchors, rounding_mode='floor')
            tables = dict(student=student, teacher=records)
            for side, levels in (('student', ours), ('teacher', theirs)):
                maps = _inputs(tables[side], getattr(self, SIDES[side]))
                maps = tuple(maps[level] for level in levels)
                knowledge[f'{side}_maps'] = maps
                knowledge[f'{side}_embed'] = _at(maps, locations)
            knowledge['positions'] = rows, locations
        return knowledge

    def connect(self, knowledge: dict) -> dict:
        """See :meth:`Distiller.connect`; adds ``cross_logits``."""
        knowledge = super().connect(knowledge)
        if not self.embeds:
            return knowledge
        rows, locations = knowledge.pop('positions')
        maps = knowledge.pop('student_maps')
        if 'student_maps' in self.connectors:
            knowledge['student_embed'] = _at(maps, locations)
        if 'cross_logits' in self.asked:
            layers = [self.theirs.layers[j] for _, j in self.levels]
            model = self.teacher.model
            crossed = [
                find_module(model, path)(level)
                for path, level in zip(layers, maps)
            ]
            crossed = [rows_of(m, self.theirs.classes) for m in crossed]
            knowledge['cross_logits'] = torch.cat(crossed)[rows]
        return knowledge

    @torch.no_grad()
    def look(self, feats: tuple[Tensor, ...]) -> dict[str, list]:
        """Run the teacher's head and return the records of its taps.

        Args:
            feats: The teacher's feature maps.
        """
        points = dict(outputs=OUTPUTS)
        if self.embeds:
            points |= _class_inputs(self.theirs)
        model = self.teacher.model
        with FeatureTap(model, points) as records:
            model.bbox_head(feats)
        return records

    @torch.no_grad()
    def teacher_samples(
        self, inputs: Tensor, data_samples: list, source: str
    ) -> tuple[Tensor, Tensor]:
        """Return embeddings (N, D) and labels (N,) for the class means.

        They are taken at the foreground locations of the teacher's assigner.

        Args:
            inputs: Images preprocessed for the teacher.
            data_samples: Data samples with boxes in pixels of ``inputs``.
            source: ``'gt'``, since a dense head has no proposals.

        Raises:
            UserError: The source is not ``'gt'``.
        """
        if source != 'gt':
            raise UserError(
                f'source={source!r}: a one-stage detector has no proposals; '
                "only 'gt' is accepted."
            )
        points = _points(self.theirs)
        model = self.teacher.model
        with FeatureTap(model, points | _class_inputs(self.theirs)) as records:
            model(inputs, self.theirs_of(data_samples), mode='loss')
        levels = range(len(self.theirs.strides))
        labels = self._labels(records, levels, 'teacher')
        on_object = (labels >= 0) & (labels < self.theirs.classes)
        rows = on_object.nonzero()[:, 0]
        maps = _inputs(records, self.theirs)
        locations = rows.div(self.theirs.anchors, rounding_mode='floor')
        return _at(maps, locations), self.ours_of(labels[rows])

    def _labels(
        self, records: dict, levels: tuple | range, side: str = 'student'
    ) -> Tensor:
        """Return the labels (M,) that the head is trained on."""
        head = getattr(self, SIDES[side])
        outputs = records['outputs'][0]
        if head.objectness:
            given = records['objects'][0][0]
            self._check_order(side, rows_by_image(outputs[2]), given)
            parts = labels_of(records, head.classes)
            return torch.cat([parts[level] for level in levels])
        scores = outputs[0]
        anchors = self.ours.anchors
        sizes = [s.numel() // s.shape[1] * anchors for s in scores]
        calls = [call for call in records['targets'] if len(call) > 1]
        if not calls:
            raise UserError(
                f'{self.ours.kind} passes no logits and labels to its '
                'classification loss, so DenseDistiller cannot tell which '
                f'locations are foreground; {USE}.'
            )
        targets = [call[1] for call in calls]
        # the target of a quality focal loss is a tuple that starts with the
        # label
        targets = [
            t[0] if isinstance(t, (tuple, list)) else t for t in targets
        ]
        labels = torch.cat([t.reshape(-1) for t in targets])
        if len(labels) != sum(sizes) or labels.is_floating_point():
            raise UserError(
                f'{self.ours.kind} passes {len(labels)} targets of '
                f'{labels.dtype} for {sum(sizes)} predictions to its '
                'classification loss, so DenseDistiller cannot tell which '
                'are foreground; use FeatureDistiller on the levels of the '
                'neck.'
            )
        rows = [rows_of(level, head.classes) for level in scores]
        given = [call[0].reshape(-1, head.classes) for call in calls]
        self._check_order(side, torch.cat(rows), torch.cat(given))
        parts = labels.split(sizes)
        return torch.cat([parts[level] for level in levels])

    def _check_order(self, side: str, rows: Tensor, given: Tensor) -> None:
        """Raise, at the first step, if the labels belong to other rows.

        Args:
            side: ``'student'`` or ``'teacher'``.
            rows: Predictions of the head, in the order of the labels.
            given: Predictions passed to its loss.
        """
        if side in self._ordered:
            return
        if given.shape != rows.shape or not torch.equal(given, rows):
            raise UserError(
                f'{getattr(self, SIDES[side]).kind} does not pass its maps, '
                'level by level, to its classification loss, so '
                'DenseDistiller cannot tell which locations are foreground; '
                f'{USE}.'
            )
        self._ordered.add(side)

    def _mask(
        self, scores: list[Tensor], levels: tuple, samples: list
    ) -> Tensor | None:
        masks = [
            inside(
                samples,
                tuple(s.shape[-2:]),
                self.ours.strides[level],
                s.device,
            )
            for s, level in zip(scores, levels)
        ]
        if all(mask is None for mask in masks):
            return None
        rows = [
            s.new_ones(len(s), *s.shape[-2:], dtype=torch.bool)
            if mask is None
            else mask
            for s, mask in zip(scores, masks)
        ]
        anchors = self.ours.anchors
        return torch.cat(
            [m.reshape(-1).repeat_interleave(anchors) for m in rows]
        )

    def _check_sizes(self, ours: list[Tensor], theirs: list[Tensor]) -> None:
        for mine, other in zip(ours, theirs):
            if mine.shape[-2:] != other.shape[-2:]:
                raise UserError(
                    f"The student's maps are {tuple(mine.shape[-2:])}, the "
                    "teacher's with the same stride "
                    f'{tuple(other.shape[-2:])}: their images are padded '
                    'differently; use the same '
                    'data_preprocessor.pad_size_divisor for both.'
                )


SIDES = dict(student='ours', teacher='theirs')


def _points(head: DenseHead) -> dict[str, str]:
    """Return the tap points of a head's outputs and labels."""
    objects = dict(objects=OBJECTS) if head.objectness else {}
    return dict(outputs=OUTPUTS, targets=TARGETS, **objects)


def _pick(
    outputs: tuple, levels: tuple[int, ...], head: DenseHead
) -> tuple[list, list]:
    """Return the class logits and boxes of some levels."""
    scores, boxes, *rest = (
        [part[level] for level in levels] for part in outputs[:3]
    )
    if head.objectness:
        scores = [*map(joint_logits, scores, *rest)]
    return scores, boxes


def _class_inputs(head: DenseHead) -> dict[str, str]:
    """Return the tap points at the inputs of the classification layers."""
    paths = [*dict.fromkeys(head.layers)]
    return {f'embed{i}': f'{path}:input' for i, path in enumerate(paths)}


def _inputs(records: dict, head: DenseHead) -> list[Tensor]:
    """Return the inputs of the classification layers at each level."""
    paths = [*dict.fromkeys(head.layers)]
    calls = {path: iter(records[f'embed{i}']) for i, path in enumerate(paths)}
    return [next(calls[path])[0] for path in head.layers]


def _at(maps: tuple[Tensor, ...], locations: Tensor) -> Tensor:
    return torch.cat([rows_of(m, m.shape[1]) for m in maps])[locations]
