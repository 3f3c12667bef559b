"""RoIDistiller: knowledge of the student's own RoIs in both networks."""

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from kd_det.checks import check_choice, check_count, check_scales
from kd_det.distillers.base import CROSSED, Distiller
from kd_det.distillers.kinds import advice, fitting
from kd_det.distillers.roi_cells import CELLS, cells_of_rois, check_cells
from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.taps import FeatureTap, find_module

EXTRACTOR, HEAD = 'roi_head.bbox_roi_extractor', 'roi_head.bbox_head'
# the classifier's input is the embedding, its output the logits; the
# arguments of the head's loss hold the labels of the sampled RoIs
POINTS = {
    'rois': EXTRACTOR + '{stage}:input',
    'embed': HEAD + '{stage}.fc_cls:input',
    'logits': HEAD + '{stage}.fc_cls',
    'targets': HEAD + '{stage}.loss_cls:input',
    # what a head with global average pooling pools
    'map': HEAD + '{stage}.avg_pool:input',
}
# of the teacher, where a loss asks for boxes
BOXES = {
    'boxes': HEAD + '{stage}.fc_reg',
    'boxes_from': HEAD + '{stage}.fc_reg:input',
}
REGIONS = {'student_region_logits', 'teacher_region_logits'}


@MODELS.register_module()
class RoIDistiller(Distiller):
    """Distil the box head of a two-stage detector on its sampled RoIs.

    Taps give the student's RoIs, labels (background last), embeddings and
    logits that it computed anyway; the teacher's RoI extractor and box head
    then run on the same RoIs. Neither head runs twice. ``cross_logits`` are
    the teacher's class layer applied to the student's embedding,
    ``cross_boxes`` and ``teacher_boxes`` what its box layer makes of the
    student's and of its own: the deltas of the class that it predicts.

    In a cascade the RoIs of all stages count together, each seen by the
    teacher's head of that stage, or its last where it has fewer. Class means
    are of one stage, so ``centroids`` want one distiller a stage.

    Regional logits, for SDD, are those of the whole RoI, all rows, and of
    its cells, the rows of objects alone. A box head is asked about a cell in
    one of three ways:

    - ``cells='align'``: its share of a RoIAlign with that many times the
      bins, through the box head.
    - ``cells='pool'``: its mean, spread over the whole input of the box
      head.
    - ``cells='gap'``: for heads that end in global average pooling, the
      class layer on the mean over the cell.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        centroids: File of the teacher's class means, see ``CentroidHook``.
        connectors: See :class:`Distiller`.
        taps: Overrides of ``POINTS``, for unusual box heads; ``{stage}`` in
            a point is ``.0`` and so on in a cascade, else nothing.
        stage: The only stage of a cascade to distil.
        scales: Cells a side, for regional logits.
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
        'labels',
        'foreground',
        'rois',
        'region_labels',
        'region_mask',
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

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`."""
        ours = box_heads(student, 'student', teacher.model)
        theirs = box_heads(teacher.model, 'teacher', student)
        self.stages = self._choose(len(ours))
        self._theirs = ['' if len(theirs) == 1 else f'.{i}' for i in theirs]
        names = {s: f'.{s}' if len(ours) > 1 else '' for s in self.stages}
        self._points = {
            stage: {
                key: point.format(stage=suffix)
                for key, point in self.points.items()
                if key != 'map' or self.cells == 'gap' and self.regional
            }
            for stage, suffix in names.items()
        }
        self.points = {
            f'{key}{stage}': point
            for stage, points in self._points.items()
            for key, point in points.items()
        }
        self._check_heads(student, teacher.model)
        if len(ours) != len(theirs):
            print_log(self._who_teaches(name, len(ours)), 'current')
        super().bind(name, student, teacher)

    def _choose(self, stages: int) -> range | list[int]:
        if self.stage is None and stages > 1 and self.centroid_file:
            raise UserError(
                f'The student is a cascade of {stages} stages, and each has '
                'class means of its own: write one RoIDistiller a stage, '
                'with stage=0 and so on and a centroid file each.'
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
        """Return, for the log, which of their heads teaches which of ours."""
        last = len(self._theirs) - 1
        pairs = [
            f"the teacher's {_head_name(min(stage, last), last + 1)} teaches "
            f"the student's {_head_name(stage, stages)}"
            for stage in self.stages
        ]
        return f'distillers.{name}: {", ".join(pairs)}'

    def _their_suffix(self, stage: int) -> str:
        return self._theirs[min(stage, len(self._theirs) - 1)]

    def _check_heads(self, student: nn.Module, teacher: nn.Module) -> None:
        first = self.stages[0]
        path = self._points[first]['logits'].partition(':')[0]
        ours = find_module(student, path)
        suffix = self._their_suffix(first)
        theirs = find_module(teacher, f'{HEAD}{suffix}.fc_cls')
        self.num_rows = ours.out_features
        self.check_counts(ours.out_features - 1, theirs.out_features - 1)
        self.check_columns(self.num_rows)
        self.widths = ours.in_features, theirs.in_features
        self.check_widths(
            *self.widths,
            'set student.roi_head.bbox_head.fc_out_channels='
            f'{theirs.in_features} or add '
            "connectors=dict(student_embed=dict(type='LinearAdaptor')) to "
            'the distiller',
        )
        if self.regional:
            heads = dict(
                student=find_module(student, path.rpartition('.')[0]),
                teacher=find_module(teacher, f'{HEAD}{suffix}'),
            )
            check_cells(self.cells, heads)
        if self.regional and self.cells == 'pool':
            self._check_bins(student, self._points[first]['rois'])
            self._check_bins(teacher, f'{EXTRACTOR}{suffix}')

    def _check_bins(self, network: nn.Module, point: str) -> None:
        """Stop at cells finer than the bins of a RoI."""
        extractor = find_module(network, point.partition(':')[0])
        bins = min(extractor.roi_layers[0].output_size)
        if self.scales[-1] > bins:
            raise UserError(
                f'RoIDistiller: scales={self.scales!r}, but a RoI of the '
                f'{type(network).__name__} has {bins} bins a side, and with '
                "cells='pool' a cell is the mean of some; write scales up to "
                f"{bins}, or cells='align'."
            )

    def channels(self, field: str) -> tuple[int, int]:
        """See :meth:`Distiller.channels`."""
        return (
            self.widths
            if field == 'student_embed'
            else (super().channels(field))
        )

    def expected_bank(self) -> dict:
        """Return width and rows of the teacher's class layer."""
        return dict(width=self.widths[1], num_rows=self.num_rows)

    def _needs_background(self) -> bool:
        return any(
            'centroids' in fields
            and getattr(self.losses[name], 'background', '') == 'all'
            for name, fields in self.wiring.items()
        )

    def default_source(self) -> str:
        """Return ``'proposals'`` where a background mean is needed."""
        return 'proposals' if self._needs_background() else 'gt'

    def check_coverage(self) -> None:
        """Stop if the background is to be distilled but has no mean."""
        if self._needs_background() and self.bank.counts[-1] == 0:
            raise UserError(
                f'Centroid bank {self.centroid_file!r} has no background '
                "mean (it was made with source='gt'), but a loss has "
                "background='all'; set background='foreground' or compute "
                'the bank with --source proposals.'
            )

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the knowledge of one step; see :meth:`Distiller.read`."""
        stages = [self._read_stage(student, feats, s) for s in self.stages]
        if len(stages) == 1:
            return stages[0]
        return {
            key: torch.cat([stage[key] for stage in stages])
            for key in stages[0]
        }

    def _read_stage(self, student: dict, feats: tuple, stage: int) -> dict:
        student = {
            key: student[f'{key}{stage}'] for key in self._points[stage]
        }
        own_feats, rois = student['rois'][0][:2]
        labels = _labels(student)
        foreground = labels < self.num_rows - 1
        records = self._ask(feats, rois, stage)
        knowledge = dict(
            student_embed=_embed(student),
            student_logits=student['logits'][0],
            teacher_embed=_embed(records),
            teacher_logits=records['logits'][0],
            labels=labels,
            foreground=foreground,
            rois=rois,
        )
        if self.boxes:
            knowledge['teacher_boxes'] = self._boxes(records)
        if CROSSED & self.asked and len(self.stages) > 1:
            knowledge['stage'] = torch.full_like(labels, stage)
        if self.regional:
            knowledge |= self._regions(
                knowledge, (student, records), (own_feats, feats), stage
            )
        return knowledge

    def _regions(
        self, knowledge: dict, records: tuple, feats: tuple, stage: int
    ) -> dict:
        networks = self.student, self.teacher.model
        suffixes = (
            self._points[stage]['rois'].removeprefix(EXTRACTOR),
            self._their_suffix(stage),
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
            with torch.set_grad_enabled(side == 'student'):
                found[f'{side}_region_logits'] = cells_of_rois(
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
        return found

    def connect(self, knowledge: dict) -> dict:
        """See :meth:`Distiller.connect`; adds the crossed fields."""
        knowledge = super().connect(knowledge)
        if 'cross_logits' in self.asked:
            knowledge['cross_logits'] = self._cross(knowledge, 'fc_cls')
        if 'cross_boxes' in self.asked:
            deltas = self._cross(knowledge, 'fc_reg')
            logits = knowledge['teacher_logits']
            knowledge['cross_boxes'] = _of_best(deltas, logits)
        return knowledge

    def _cross(self, knowledge: dict, name: str) -> Tensor:
        """Return what a layer of the teacher's makes of our embedding."""
        embed = knowledge['student_embed']
        stage = knowledge.get('stage')
        crossed = None
        for number in self.stages:
            path = f'{HEAD}{self._their_suffix(number)}.{name}'
            layer = find_module(self.teacher.model, path)
            made = layer(embed.to(layer.weight.dtype))
            if crossed is not None:
                made = made.where((stage == number)[:, None], crossed)
            crossed = made
        return crossed

    def _boxes(self, records: dict[str, list]) -> Tensor:
        """Return the teacher's deltas (N, 4) of the class it predicts."""
        source = records['boxes_from'][0][0]
        if source.data_ptr() != _embed(records).data_ptr():
            raise UserError(
                "A loss asks for boxes, but the teacher's box head has a "
                'branch of its own for them, so that its box layer does not '
                'see what the class layer sees; take BoxRegressionLoss out.'
            )
        return _of_best(records['boxes'][0], records['logits'][0])

    def look(
        self, feats: tuple[Tensor, ...], rois: Tensor, stage: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Return the teacher's embeddings (N, D) and logits (N, K).

        Args:
            feats: The teacher's feature maps.
            rois: RoIs (N, 5): image index, x1, y1, x2, y2 in pixels.
            stage: Of the student's cascade.
        """
        records = self._ask(feats, rois, stage)
        return _embed(records), records['logits'][0]

    @torch.no_grad()
    def _ask(
        self, feats: tuple[Tensor, ...], rois: Tensor, stage: int
    ) -> dict[str, list]:
        """Run the teacher's box head; return what its taps recorded."""
        model = self.teacher.model
        rois = rois.to(feats[0].dtype)
        suffix = self._their_suffix(stage)
        keys = ['embed', 'logits']
        if self.cells == 'gap' and self.regional:
            keys.append('map')
        points = {key: POINTS[key] for key in keys}
        if self.boxes:
            points |= BOXES
        points = {k: p.format(stage=suffix) for k, p in points.items()}
        number = [min(stage, len(self._theirs) - 1)] if suffix else []
        # made anew: a tap kept would be copied when the pair is, and listen
        # to copies of the teacher's layers
        with FeatureTap(model, points) as records:
            model.roi_head._bbox_forward(*number, feats, rois)
        return records

    @torch.no_grad()
    def teacher_samples(
        self, inputs: Tensor, data_samples: list, source: str
    ) -> tuple[Tensor, Tensor]:
        """Return labelled embeddings of the teacher, for its class means.

        Args:
            inputs: Images as the teacher wants them.
            data_samples: With boxes in the pixels of ``inputs``.
            source: ``'gt'`` for the annotated boxes, ``'proposals'`` for
                RoIs sampled from the teacher's proposals, background and
                annotated boxes included.

        Returns:
            Embeddings (N, D) and labels (N,).
        """
        model = self.teacher.model
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
        suffix = self._their_suffix(self.stages[0])
        points = {
            key: POINTS[key].format(stage=suffix)
            for key in ('embed', 'targets')
        }
        with FeatureTap(model, points) as records:
            model(inputs, data_samples, mode='loss')
        return _embed(records), self.ours_of(_labels(records))


def _head_name(stage: int, stages: int) -> str:
    return f'head of stage {stage}' if stages > 1 else 'only head'


def _embed(records: dict[str, list]) -> Tensor:
    record = records['embed'][0]
    # what goes in is a tuple, what comes out is not
    return record[0] if isinstance(record, tuple) else record


def _of_best(deltas: Tensor, logits: Tensor) -> Tensor:
    """Return the deltas (N, 4) of the class with the largest logit."""
    deltas = deltas.unflatten(1, (-1, 4))
    if deltas.shape[1] == 1:  # one box for all classes
        return deltas[:, 0]
    best = logits[:, :-1].argmax(1)  # no background
    return deltas.take_along_dim(best[:, None, None], 1)[:, 0]


def _labels(records: dict[str, list]) -> Tensor:
    if records['targets']:
        return records['targets'][0][1]
    # the head skips its loss when nothing was sampled
    return _embed(records).new_zeros(0, dtype=torch.long)


def box_heads(model: nn.Module, side: str, other: nn.Module) -> range:
    """Return the stages of a detector's box head: one, or more in a cascade.

    Args:
        model: A two-stage detector.
        side: What to call it in a message.
        other: The other side of the pair, for the message.

    Raises:
        UserError: It has no box head with a class layer ``fc_cls``.
    """
    head = getattr(getattr(model, 'roi_head', None), 'bbox_head', None)
    if fitting(model) == 'RoIDistiller':
        return range(len(head) if isinstance(head, nn.ModuleList) else 1)
    raise UserError(
        f'RoIDistiller reads the box head of a two-stage detector such as '
        f'FasterRCNN, and the {side} {type(model).__name__} has none with a '
        f'class layer fc_cls; {advice(model, other)}'
    )
