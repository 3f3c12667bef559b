"""RoIDistiller: distils box heads on the student's RoIs."""

from contextlib import nullcontext

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from kd_det.checks import check_choice, check_count, check_scales
from kd_det.distillers.activations import check_softmax, of_softmax
from kd_det.distillers.base import CROSSED, Distiller
from kd_det.distillers.box_deltas import (
    FIELDS,
    check_heads,
    on_objects,
    targets_of,
)
from kd_det.distillers.box_heads import (
    EXTRACTOR,
    HEAD,
    POINTS,
    TeacherBoxHeads,
    boxes_of,
    check_context,
    count_heads,
    embed_of,
    labels_of,
    of_best,
    rows_of,
)
from kd_det.distillers.class_outputs import USE, check_logits
from kd_det.distillers.rehearsal import rehearse
from kd_det.distillers.roi_cells import CELLS, cells_of_rois, check_cells
from kd_det.distillers.roi_levels import level_points, rois_by_level
from kd_det.distillers.roi_passes import trained_pass
from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.taps import Records, find_module

REGIONS = {'student_region_logits', 'teacher_region_logits'}
# what is read, or chosen, by the columns of a class layer
LOGITS = {
    *REGIONS,
    'student_logits',
    'teacher_logits',
    'cross_logits',
    'cross_boxes',
    'teacher_boxes',
}


@MODELS.register_module()
class RoIDistiller(Distiller):
    """Distil the box head of a two-stage detector on its sampled RoIs.

    Taps record the student's RoIs, labels (background last), embeddings and
    logits while it computes its own loss; the teacher's RoI extractor and box
    head then run on the same RoIs. Neither head runs twice. ``cross_logits``
    are the teacher's classification layer applied to the student's embedding;
    ``cross_boxes`` and ``teacher_boxes`` are its box regression layer applied
    to the student's and its own embedding (the deltas of the teacher's
    predicted class). ``student_deltas`` and ``teacher_deltas`` are both heads'
    own deltas of the annotated class, ``target_deltas`` those that the student
    is trained on; they are 0 for background.

    In a cascade the RoIs of all stages are used together, each with the
    teacher's head of the same stage, or its last if it has fewer. Class means
    belong to one stage, so ``centroids`` require one distiller per stage.

    Regional logits, for SDD, are those of the whole RoI for all rows, and of
    its cells for foreground rows. The input of the box head for a cell is one
    of:

    - ``cells='align'``: its part of a RoIAlign with a correspondingly larger
      number of bins.
    - ``cells='pool'``: its mean, repeated over the whole input.
    - ``cells='gap'``: for heads that end in global average pooling, its mean
      is the input of the classification layer.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        centroids: File with the teacher's class means, see ``CentroidHook``.
        connectors: See :class:`Distiller`.
        taps: Overrides of ``box_heads.POINTS``, for unusual box heads;
            ``{stage}`` in a point becomes ``.0`` etc. in a cascade, otherwise
            ''.
        stage: Cascade stage to distil; default: all.
        scales: Grid sizes for regional logits.
        cells: See above.
    """

    provides = (
        'student_logits',
        'teacher_logits',
        'student_embed',
        'teacher_embed',
        'student_region_logits',
        'teacher_region_logits',
        'cross_logits',
        'cross_boxes',
        'teacher_boxes',
        'student_deltas',
        'teacher_deltas',
        'target_deltas',
        'labels',
        'foreground',
        'rois',
        'region_labels',
        'region_mask',
    )
    alone = (
        'student_logits',
        'student_embed',
        'student_deltas',
        'target_deltas',
        'labels',
        'foreground',
        'rois',
    )
    points = POINTS
    feeds = {'student_embed': ('cross_logits', 'cross_boxes')}

    def __init__(
        self,
        losses: dict,
        centroids: str | None = None,
        connectors: dict | None = None,
        taps: dict[str, str] | None = None,
        stage: int | None = None,
        scales: tuple[int, ...] = (1, 2),
        cells: str = 'align',
    ) -> None:
        super().__init__(losses, centroids, connectors, taps)
        if stage is not None:
            check_count(self, 'stage', stage, 0)
        self.stage = stage
        self.scales = check_scales(self, scales)
        self.cells = check_choice(self, 'cells', cells, CELLS)
        self.regional = bool(REGIONS & self.asked)
        self.boxes = bool({'cross_boxes', 'teacher_boxes'} & self.asked)
        self.deltas = bool(FIELDS & self.asked)

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`."""
        ours = count_heads(student, 'student', teacher.model)
        self.heads = TeacherBoxHeads(
            teacher,
            count_heads(teacher.model, 'teacher', student),
            pooled=self.cells == 'gap' and self.regional,
            boxes=self.boxes or self.deltas,
        )
        self.stages = self._choose(ours)
        names = {s: f'.{s}' if ours > 1 else '' for s in self.stages}
        self._heads = {stage: HEAD + suffix for stage, suffix in names.items()}
        unread = set() if self.deltas else {'deltas', 'box_targets'}
        if not (self.cells == 'gap' and self.regional):
            unread.add('map')
        self._points = {
            stage: {
                key: point.format(stage=suffix)
                for key, point in self.points.items()
                if key not in unread
            }
            for stage, suffix in names.items()
        }
        for points in self._points.values():
            points |= _levels(student, points['rois'])
        self.points = {
            f'{key}{stage}': point
            for stage, points in self._points.items()
            for key, point in points.items()
        }
        self._check_heads(student, teacher.model)
        if ours != self.heads.count:
            print_log(self._who_teaches(name, ours), 'current')
        super().bind(name, student, teacher)
        rehearse(self)

    def _choose(self, stages: int) -> range | list[int]:
        if self.stage is None and stages > 1 and self.centroid_file:
            raise UserError(
                f'The student is a cascade of {stages} stages, and each has '
                'its own class means: use one RoIDistiller per stage, with '
                'stage=0 and so on and a separate centroid file.'
            )
        if self.stage is None:
            return range(stages)
        if self.stage not in range(stages):
            numbers = f'0 to {stages - 1} are' if stages > 1 else '0 is'
            raise UserError(
                f'RoIDistiller: stage={self.stage!r}; the student has '
                f'{stages}, so {numbers} accepted.'
            )
        return [self.stage]

    def _who_teaches(self, name: str, stages: int) -> str:
        """Describe which teacher head teaches which student head."""
        theirs = self.heads
        pairs = [
            f"the teacher's {_head_name(theirs.number(stage), theirs.count)} "
            f"teaches the student's {_head_name(stage, stages)}"
            for stage in self.stages
        ]
        return f'distillers.{name}: {", ".join(pairs)}'

    def _check_heads(self, student: nn.Module, teacher: nn.Module) -> None:
        first = self.stages[0]
        suffix = self.heads.suffix(first)
        own = find_module(student, self._heads[first])
        other = find_module(teacher, f'{HEAD}{suffix}')
        check_context(teacher.roi_head, "The teacher's")
        if self.regional:
            check_context(
                student.roi_head, "Cells are asked for: the student's"
            )
        asked = of_softmax(self.losses, self.wiring)
        check_softmax(asked, 'student', own)
        check_softmax(asked, 'teacher', other)
        self.num_rows = rows_of(own)
        self.check_counts(self.num_rows - 1, rows_of(other) - 1)
        self._check_columns(student, teacher)
        for stage in self.stages if self.deltas else ():
            check_heads(
                find_module(student, self._heads[stage]),
                find_module(teacher, HEAD + self.heads.suffix(stage)),
            )
        self.check_columns(self.num_rows)
        ours, theirs = own.fc_cls, other.fc_cls
        self.widths = ours.in_features, theirs.in_features
        self.check_widths(
            *self.widths,
            'set student.roi_head.bbox_head.fc_out_channels='
            f'{theirs.in_features} or add '
            "connectors=dict(student_embed=dict(type='LinearAdaptor')) to "
            'the distiller',
        )
        if self.regional:
            check_cells(self.cells, dict(student=own, teacher=other))
        if self.regional and self.cells == 'pool':
            self._check_bins(student, self._points[first]['rois'])
            self._check_bins(teacher, f'{EXTRACTOR}{suffix}')

    def _check_columns(self, student: nn.Module, teacher: nn.Module) -> None:
        """Raise if a loss needs logits and the heads give something else."""
        wanted = sorted(LOGITS & self.asked)
        heads = [
            (side, find_module(network, path))
            for stage in self.stages
            for side, network, path in (
                ('student', student, self._heads[stage]),
                ('teacher', teacher, HEAD + self.heads.suffix(stage)),
            )
        ]
        for side, head in heads if wanted else ():
            name = (
                f"classification layer of the {side}'s {type(head).__name__}"
            )
            check_logits(head.fc_cls, f'The {name}')
            columns, rows = head.fc_cls.out_features, rows_of(head)
            if columns != rows:
                raise UserError(
                    f'A loss asks for {wanted[0]}, and the {name} has '
                    f'{columns} outputs for {rows - 1} classes and the '
                    'background, as required by '
                    f'{type(head.loss_cls).__name__}; use losses on '
                    'embeddings, such as NDLoss, or FeatureDistiller on the '
                    'levels of the neck.'
                )

    def _check_bins(self, network: nn.Module, point: str) -> None:
        """Raise for cells that are finer than the bins of a RoI."""
        extractor = find_module(network, point.partition(':')[0])
        bins = min(extractor.roi_layers[0].output_size)
        if self.scales[-1] > bins:
            raise UserError(
                f'RoIDistiller: scales={self.scales!r}, but a RoI of the '
                f'{type(network).__name__} has {bins} bins per side, and '
                "with cells='pool' a cell is a mean of bins; use scales up "
                f"to {bins}, or cells='align'."
            )

    def channels(self, field: str) -> tuple[int, int]:
        """See :meth:`Distiller.channels`."""
        return (
            self.widths
            if field == 'student_embed'
            else (super().channels(field))
        )

    def expected_bank(self) -> dict:
        """Return the width and rows of the teacher's classification layer."""
        return dict(width=self.widths[1], num_rows=self.num_rows)

    def _needs_background(self) -> bool:
        return any(
            'centroids' in fields
            and getattr(self.losses[name], 'background', '') == 'all'
            for name, fields in self.wiring.items()
        )

    def default_source(self) -> str:
        """Return ``'proposals'`` if a background mean is needed."""
        return 'proposals' if self._needs_background() else 'gt'

    def check_coverage(self) -> None:
        """Raise if background is distilled but has no mean."""
        if self._needs_background() and self.bank.counts[-1] == 0:
            raise UserError(
                f'Centroid bank {self.centroid_file!r} has no background '
                "mean (it was made with source='gt'), but a loss has "
                "background='all'; set background='foreground' or compute "
                'the bank with --source proposals.'
            )

    def read(
        self, student: Records, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the fields of one step; see :meth:`Distiller.read`."""
        stages = [
            self._read_stage(student, feats, len(samples), s)
            for s in self.stages
        ]
        if len(stages) == 1:
            return stages[0]
        return {
            key: torch.cat([stage[key] for stage in stages])
            for key in stages[0]
        }

    def _read_stage(
        self, records: Records, feats: tuple, images: int, stage: int
    ) -> dict:
        names = {key: f'{key}{stage}' for key in self._points[stage]}
        student = trained_pass(records, names, "The student's box head")
        own_feats, rois = student['rois'][0][:2]
        self._check_images(images, student=own_feats)
        labels = labels_of(student)
        knowledge = dict(
            student_embed=embed_of(student),
            student_logits=student['logits'][0],
            labels=labels,
            foreground=labels < self.num_rows - 1,
            rois=rois,
        )
        foreground = knowledge['foreground']
        if self.deltas:
            own = on_objects(student['deltas'][0], labels, foreground)
            knowledge['student_deltas'] = own
            knowledge['target_deltas'] = targets_of(student, own, foreground)
        if not self.needs_teacher:
            return knowledge
        self._check_images(images, teacher=feats)
        levels = [key for key in student if key.startswith('level')]
        by_level = rois_by_level(student, levels)
        records = self.heads.ask(feats, rois, stage, by_level)
        knowledge['teacher_embed'] = embed_of(records)
        knowledge['teacher_logits'] = records['logits'][0]
        if self.boxes:
            knowledge['teacher_boxes'] = boxes_of(records)
        if self.deltas:
            knowledge['teacher_deltas'] = on_objects(
                records['boxes'][0],
                self._labels_of_teacher(labels, foreground),
                foreground,
            )
        if CROSSED & self.asked and len(self.stages) > 1:
            knowledge['stage'] = torch.full_like(labels, stage)
        if self.regional:
            knowledge |= self._regions(
                knowledge, (student, records), (own_feats, feats), stage
            )
        return knowledge

    def _labels_of_teacher(self, labels: Tensor, known: Tensor) -> Tensor:
        """Return labels in the teacher's order; rows it lacks are dropped."""
        if self.match is None:
            return labels
        return self.match.to_teacher[labels.where(known, 0)].clamp(min=0)

    def _check_images(self, images: int, **sides: tuple[Tensor, ...]) -> None:
        """Raise if the image index of a RoI is wrong for a network."""
        for side, maps in sides.items():
            if len(maps[0]) != images:
                raise UserError(
                    f"The {side}'s backbone returns {len(maps[0])} maps for "
                    f'{images} images, like TridentNet in training, so the '
                    f'RoIs of the networks do not correspond; {USE}.'
                )

    def _regions(
        self, knowledge: dict, records: tuple, feats: tuple, stage: int
    ) -> dict:
        networks = self.student, self.teacher.model
        suffixes = (
            self._points[stage]['rois'].removeprefix(EXTRACTOR),
            self.heads.suffix(stage),
        )
        foreground = knowledge['foreground']
        count = sum(scale**2 for scale in self.scales)
        mask = foreground[:, None].expand(-1, count).clone()
        mask[:, 0] = True
        found = dict(region_labels=knowledge['labels'], region_mask=mask)
        for side, network, suffix, record, maps in zip(
            ('student', 'teacher'), networks, suffixes, records, feats
        ):
            suffix = suffix.partition(':')[0]
            parts = [
                find_module(network, f'{path}{suffix}')
                for path in (EXTRACTOR, HEAD)
            ]
            pooled = None
            if self.cells == 'gap':
                pooled = record['map'][0][0]
                self.warn_if_coarse(side, 'map of a RoI', pooled)
            theirs = side == 'teacher'
            with self.teacher.asked() if theirs else nullcontext():
                logits = cells_of_rois(
                    self.cells,
                    self.scales,
                    network.roi_head,
                    parts,
                    maps,
                    knowledge['rois'].to(maps[0].dtype),
                    foreground,
                    knowledge[f'{side}_logits'],
                    pooled,
                )
            if theirs:
                logits = self.teacher.plain(logits)
            found[f'{side}_region_logits'] = logits
        return found

    def connect(self, knowledge: dict) -> dict:
        """See :meth:`Distiller.connect`; adds the cross fields."""
        knowledge = super().connect(knowledge)
        if 'cross_logits' in self.asked:
            knowledge['cross_logits'] = self._cross(knowledge, 'fc_cls')
        if 'cross_boxes' in self.asked:
            deltas = self._cross(knowledge, 'fc_reg')
            logits = knowledge['teacher_logits']
            knowledge['cross_boxes'] = of_best(deltas, logits)
        return knowledge

    def _cross(self, knowledge: dict, name: str) -> Tensor:
        """Apply a layer of the teacher to the student's embedding."""
        return self.heads.cross(
            name,
            knowledge['student_embed'],
            self.stages,
            knowledge.get('stage'),
        )

    def look(
        self, feats: tuple[Tensor, ...], rois: Tensor, stage: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Return the teacher's embeddings (N, D) and logits (N, K).

        Args:
            feats: The teacher's feature maps.
            rois: RoIs (N, 5): image index, x1, y1, x2, y2 in pixels.
            stage: Stage of the student's cascade.
        """
        records = self.heads.ask(feats, rois, stage)
        return embed_of(records), records['logits'][0]

    @torch.no_grad()
    def teacher_samples(
        self, inputs: Tensor, data_samples: list, source: str
    ) -> tuple[Tensor, Tensor]:
        """Return the teacher's embeddings and labels for the class means.

        Args:
            inputs: Images preprocessed for the teacher.
            data_samples: Data samples with boxes in pixels of ``inputs``.
            source: ``'gt'`` for the annotated boxes, ``'proposals'`` for RoIs
                sampled from the teacher's proposals, including background and
                annotated boxes.

        Returns:
            Embeddings (N, D) and labels (N,).
        """
        data_samples = self.theirs_of(data_samples)
        if source == 'gt':
            truth = [sample.gt_instances for sample in data_samples]
            rois = torch.cat(
                [
                    torch.nn.functional.pad(t.bboxes, (1, 0), value=image)
                    for image, t in enumerate(truth)
                ]
            )
            labels = torch.cat([t.labels for t in truth])
            if len(rois) == 0:
                return rois.new_zeros(0, self.widths[1]), labels
            feats = self.teacher.extract_feat(inputs)
            embed, _ = self.look(feats, rois, self.stages[0])
            return embed, self.ours_of(labels)
        embed, labels = self.heads.sample(inputs, data_samples, self.stages[0])
        return embed, self.ours_of(labels)


def _levels(student: nn.Module, point: str) -> dict[str, str]:
    """Return the tap points of the levels of a RoI extractor."""
    path = point.partition(':')[0]
    return level_points(find_module(student, path), path)


def _head_name(stage: int, stages: int) -> str:
    return f'head of stage {stage}' if stages > 1 else 'only head'
