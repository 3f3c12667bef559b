"""RoIDistiller: knowledge of the student's own RoIs in both networks."""

import torch
from torch import Tensor, nn

from kd_det.distillers.base import Distiller
from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.taps import FeatureTap, find_module

HEAD = 'roi_head.bbox_head'
# the classifier's input is the embedding, its output the logits; the
# arguments of the head's loss hold the labels of the sampled RoIs
POINTS = {
    'rois': 'roi_head.bbox_roi_extractor:input',
    'embed': f'{HEAD}.fc_cls:input',
    'logits': f'{HEAD}.fc_cls',
    'targets': f'{HEAD}.loss_cls:input',
}
TEACHER_POINTS = {key: POINTS[key] for key in ('embed', 'logits')}


@MODELS.register_module()
class RoIDistiller(Distiller):
    """Distil the box head of a two-stage detector on its sampled RoIs.

    Taps give the student's RoIs, labels (background last), embeddings and
    logits that it computed anyway; the teacher's RoI extractor and box head
    then run on the same RoIs. Neither head runs twice. ``cross_logits`` are
    the teacher's class layer applied to the student's embedding.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        centroids: File of the teacher's class means, see ``CentroidHook``.
        connectors: See :class:`Distiller`.
        taps: Overrides of ``POINTS``, for unusual box heads.
    """

    provides = (
        'student_logits',
        'teacher_logits',
        'student_embed',
        'teacher_embed',
        'cross_logits',
        'labels',
        'foreground',
        'rois',
    )
    points = POINTS

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`."""
        self._check_heads(student, teacher.model)
        super().bind(name, student, teacher)

    def _check_heads(self, student: nn.Module, teacher: nn.Module) -> None:
        path = self.points['logits'].partition(':')[0]
        ours = find_module(student, path)
        theirs = find_module(teacher, f'{HEAD}.fc_cls')
        self.width, self.num_rows = theirs.in_features, theirs.out_features
        if ours.out_features != theirs.out_features:
            raise UserError(
                f'The student has {ours.out_features - 1} classes, the '
                f'teacher {theirs.out_features - 1} (background not '
                'counted); RoIDistiller needs the same class list on both '
                'sides.'
            )
        for name, loss in self.losses.items():
            rows = getattr(loss, 'num_classes', self.num_rows)
            if rows != self.num_rows:
                raise UserError(
                    f'{name} has num_classes={rows}, but the logits have '
                    f'{self.num_rows} columns, background included; write '
                    f'num_classes={self.num_rows}.'
                )
        self.widths = ours.in_features, theirs.in_features
        self.check_widths(
            *self.widths,
            'set student.roi_head.bbox_head.fc_out_channels='
            f'{theirs.in_features} or add '
            "connectors=dict(student_embed=dict(type='LinearAdaptor')) to "
            'the distiller',
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
        return dict(width=self.width, num_rows=self.num_rows)

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

    def read(self, student: dict, teacher: dict, feats: tuple) -> dict:
        """Return the knowledge of one step; see :meth:`Distiller.read`."""
        _, rois = student['rois'][0][:2]
        labels = _labels(student)
        teacher_embed, teacher_logits = self.look(feats, rois)
        return dict(
            student_embed=_embed(student),
            student_logits=student['logits'][0],
            teacher_embed=teacher_embed,
            teacher_logits=teacher_logits,
            labels=labels,
            foreground=labels < self.num_rows - 1,
            rois=rois,
        )

    def connect(self, knowledge: dict) -> dict:
        """See :meth:`Distiller.connect`; adds ``cross_logits``."""
        knowledge = super().connect(knowledge)
        if 'cross_logits' in self.asked:
            layer = find_module(self.teacher.model, f'{HEAD}.fc_cls')
            embed = knowledge['student_embed'].to(layer.weight.dtype)
            knowledge['cross_logits'] = layer(embed)
        return knowledge

    @torch.no_grad()
    def look(
        self, feats: tuple[Tensor, ...], rois: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the teacher's embeddings (N, D) and logits (N, K).

        Args:
            feats: The teacher's feature maps.
            rois: RoIs (N, 5): image index, x1, y1, x2, y2 in pixels.
        """
        model = self.teacher.model
        rois = rois.to(feats[0].dtype)
        # made anew: a tap kept would be copied when the pair is, and listen
        # to copies of the teacher's layers
        with FeatureTap(model, TEACHER_POINTS) as records:
            model.roi_head._bbox_forward(feats, rois)
        return _embed(records), records['logits'][0]

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
                return rois.new_zeros(0, self.width), labels
            feats = self.teacher.extract_feat(inputs)
            return self.look(feats, rois)[0], labels
        with FeatureTap(model, POINTS) as records:
            model(inputs, data_samples, mode='loss')
        return _embed(records), _labels(records)


def _embed(records: dict[str, list]) -> Tensor:
    record = records['embed'][0]
    # what goes in is a tuple, what comes out is not
    return record[0] if isinstance(record, tuple) else record


def _labels(records: dict[str, list]) -> Tensor:
    if records['targets']:
        return records['targets'][0][1]
    # the head skips its loss when nothing was sampled
    return _embed(records).new_zeros(0, dtype=torch.long)
