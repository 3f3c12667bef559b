"""LogitDistiller: distils classifiers."""

import torch
from torch import Tensor, nn

from kd_det.answer_cache import AnswerCache
from kd_det.checks import check_choice, check_scales
from kd_det.distillers.activations import check_softmax, of_softmax
from kd_det.distillers.base import OF_CLASSES, Distiller
from kd_det.distillers.class_outputs import check_logits
from kd_det.distillers.levels import levels_at
from kd_det.errors import UserError
from kd_det.functional import region_pool
from kd_det.registry import MODELS
from kd_det.taps import FeatureTap, find_module

REGIONS = {'student_region_logits', 'teacher_region_logits'}
CACHED = ('teacher_logits', 'teacher_embed')
LOGITS = {*REGIONS, 'student_logits', 'teacher_logits', 'cross_logits'}
ADAPTOR = (
    "add connectors=dict(student_embed=dict(type='EmbeddingAdaptor')) to the "
    'distiller'
)


@MODELS.register_module()
class LogitDistiller(Distiller):
    """Distil a classifier's embedding, logits and regional logits.

    The embedding is the input of the classification layer, the logits are its
    output. For a head with several classification layers, such as DeiT's for
    its class and distillation tokens, their mean is used. Regional logits are
    the classification layer applied to the cell means of the last feature map;
    ``cross_logits`` are the teacher's classification layer applied to the
    student's embedding.

    A connector for ``student_map`` is applied to the last feature map; its
    pooled output is then the student's embedding for all losses. The student's
    own logits do not change.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        centroids: File with the teacher's class means, see ``CentroidHook``.
        connectors: See :class:`Distiller`; ``student_map`` or
            ``student_embed``, not both.
        taps: Overrides of the student's tap points ``map``, ``targets`` and
            ``classifier`` (the classification layer; default: found in the
            head).
        scales: Grid sizes for regional logits.
        via_4x4: Whether to pool to 4x4 cells first, as in SDD's code.
        cache: ``dict(folder='FOLDER', views=4)`` to read the teacher's logits
            and embeddings from an :class:`AnswerCache` instead of running it.

    Raises:
        UserError: See :class:`Distiller`; or a loss needs what a cache does
            not hold.
    """

    provides = (
        'student_logits',
        'teacher_logits',
        'student_embed',
        'teacher_embed',
        'student_region_logits',
        'teacher_region_logits',
        'cross_logits',
        'labels',
        'region_labels',
    )
    alone = ('student_logits', 'student_embed', 'labels')
    points = {
        'map': 'backbone',
        # its arguments are the logits and the labels
        'targets': 'head.loss_module:input',
        'classifier': '',
    }
    images_at_once = 128
    connectable = ('student_map',)
    feeds = {
        'student_map': ('student_embed', 'cross_logits'),
        'student_embed': ('cross_logits',),
    }

    def __init__(
        self,
        losses: dict,
        centroids: str | None = None,
        connectors: dict | None = None,
        taps: dict[str, str] | None = None,
        scales: tuple[int, ...] = (1, 2, 4),
        via_4x4: bool = False,
        cache: dict | None = None,
    ) -> None:
        super().__init__(losses, centroids, connectors, taps)
        if {'student_map', 'student_embed'} <= {*self.connectors.cfgs}:
            raise UserError(
                'connectors has student_map and student_embed, which both '
                "produce the student's embedding; keep one of them."
            )
        self.scales = check_scales(self, scales)
        self.via_4x4 = check_choice(self, 'via_4x4', via_4x4, (True, False))
        if REGIONS & self.asked:
            self.teacher_points = {'map': 'backbone'}
        self.cache = AnswerCache.of(cache) if cache else None
        if self.cache:
            self.alone = (*self.alone, *CACHED)
            self._check_cachable()

    def _check_cachable(self) -> None:
        """Raise if the teacher must run in spite of a cache, or never."""
        for name, fields in self.wiring.items():
            missing = {*fields} - {*self.alone, *OF_CLASSES}
            if missing:
                raise UserError(
                    f'{name} needs {min(missing)}, but a cache holds '
                    f'{" and ".join(CACHED)} only, so the teacher would run '
                    'anyway; leave cache out of the distiller.'
                )
        if not self.asked & {*CACHED}:
            raise UserError(
                'No loss needs what a cache holds '
                f'({", ".join(CACHED)}); leave cache out of the distiller.'
            )

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`."""
        points = dict(self.points)
        chosen = points.pop('classifier')
        self.ours = [chosen] if chosen else class_layers(student, 'student')
        self.theirs = class_layers(teacher.model, 'teacher')
        asked = of_softmax(self.losses, self.wiring)
        for side, network in (
            ('student', student),
            ('teacher', teacher.model),
        ):
            check_softmax(asked, side, network.head)
        self.points = points | _classifier_points(self.ours)
        if not (REGIONS & self.asked or 'student_map' in self.connectors.cfgs):
            del self.points['map']
        ours = find_module(student, self.ours[0])
        theirs = find_module(teacher.model, self.theirs[0])
        if LOGITS & self.asked:
            for side, network, paths in (
                ('student', student, self.ours),
                ('teacher', teacher.model, self.theirs),
            ):
                for path in paths:
                    layer = find_module(network, path)
                    check_logits(layer, f"The {side}'s layer {path!r}")
        self.widths = ours.in_features, theirs.in_features
        self.num_rows = ours.out_features
        self.check_counts(self.num_rows, theirs.out_features)
        self.check_columns(self.num_rows)
        self.check_widths(*self.widths, ADAPTOR)
        super().bind(name, student, teacher)
        if self.cache:
            widths = theirs.out_features, self.widths[1]
            self.cache.fields = {
                field: width
                for field, width in zip(CACHED, widths)
                if field in self.asked
            }

    def channels(self, field: str) -> tuple[int, int]:
        """See :meth:`Distiller.channels`."""
        if field == 'student_embed':
            return self.widths
        if field == 'student_map':
            points = {'map': self.points['map']}
            level = levels_at(self.student, points, 'student')[-1]
            return level.channels, self.widths[1]
        return super().channels(field)

    def expected_bank(self) -> dict:
        """Return the width and rows of the teacher's classification layer."""
        return dict(width=self.widths[1], num_rows=self.num_rows)

    def check_coverage(self) -> None:
        """Raise if a class has no mean."""
        absent = (self.bank.counts == 0).nonzero()[0]
        if len(absent):
            raise UserError(
                f'Centroid bank {self.centroid_file!r} has no mean of '
                f'{len(absent)} classes, the first is row {absent[0]}; add '
                'training images of every class and compute the file again.'
            )

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the fields of one step; see :meth:`Distiller.read`."""
        self._check_calls(student)
        embed, logits = _read_classifier(student, self.ours)
        knowledge = dict(
            student_embed=embed,
            student_logits=logits,
            labels=student['targets'][0][1],
        )
        if self.needs_teacher:
            theirs = self.look(feats)
            knowledge |= zip(('teacher_embed', 'teacher_logits'), theirs)
        elif self.cache:
            kept = self._cached(samples)
            knowledge |= {k: v.to(logits.device) for k, v in kept.items()}
        if 'student_map' in self.connectors:
            knowledge['student_map'] = self._map_of_cells(student)
        if REGIONS & self.asked:
            knowledge['region_labels'] = knowledge['labels']
            maps = [_last_map(side) for side in (student, teacher)]
            for side, last in zip(('student', 'teacher'), maps):
                self.warn_if_coarse(side, 'last map', last)
            knowledge['student_region_logits'] = self._regions(
                maps[0], self.student, self.ours
            )
            with torch.no_grad():
                knowledge['teacher_region_logits'] = self._regions(
                    maps[1], self.teacher.model, self.theirs
                )
        return knowledge

    @torch.no_grad()
    def answers(self, inputs: Tensor) -> dict[str, Tensor]:
        """Run the teacher on some images and return what the cache stores.

        Args:
            inputs: Images preprocessed for the teacher.
        """
        embed, logits = self.look(self.teacher.extract_feat(inputs))
        found = dict(teacher_logits=logits, teacher_embed=embed)
        self.teacher.check_finite(found, f'the cache of {self.name}')
        return {field: found[field] for field in self.cache.fields}

    def _cached(self, samples: list) -> dict[str, Tensor]:
        """Return the rows of a step's views."""
        preprocessor = self.student.data_preprocessor
        if getattr(preprocessor, 'batch_augments', None):
            raise UserError(
                f'distillers.{self.name} has a cache, but the student mixes '
                'the images of a batch (train_cfg.augments), and the '
                'teacher never saw the mixtures; remove one of them.'
            )
        views = [sample.get('view') for sample in samples]
        if not self.cache.rows or None in views:
            raise UserError(
                f'distillers.{self.name} has a cache, which is read for '
                'seeded views of the training images; start with `kd_det '
                'train`, which adds them.'
            )
        return self.cache.read(views)

    def _check_calls(self, student: dict) -> None:
        """Raise unless the head ran once, on one row per label."""
        calls = [
            student[f'logits{number}'] for number in range(len(self.ours))
        ]
        targets = student['targets']
        rows = {len(call[0]) for call in calls if len(call) == 1}
        if not targets or len(targets[0]) < 2 or rows != {len(targets[0][1])}:
            head = type(getattr(self.student, 'head', self.student)).__name__
            raise UserError(
                f"The student's {head} runs its classification layer "
                f'{len(calls[0])} times and its loss {len(targets)} times in '
                'a step, and one run with a row per label is required; use '
                'FeatureDistiller.'
            )

    def connect(self, knowledge: dict) -> dict:
        """See :meth:`Distiller.connect`; adds ``cross_logits``."""
        knowledge = super().connect(knowledge)
        if 'student_map' in self.connectors:
            pooled = knowledge['student_map'].mean((2, 3))
            knowledge['student_embed'] = pooled
        if 'cross_logits' in self.asked:
            knowledge['cross_logits'] = _classify(
                knowledge['student_embed'], self.teacher.model, self.theirs
            )
        return knowledge

    @torch.no_grad()
    def look(self, feats: tuple) -> tuple[Tensor, Tensor]:
        """Return the teacher's embeddings (N, D) and logits (N, K).

        Args:
            feats: Return value of its ``extract_feat``.
        """
        model = self.teacher.model
        with FeatureTap(model, _classifier_points(self.theirs)) as records:
            model.head(feats)
        return _read_classifier(records, self.theirs)

    @torch.no_grad()
    def teacher_samples(
        self, inputs: Tensor, data_samples: list, source: str
    ) -> tuple[Tensor, Tensor]:
        """Return embeddings (N, D) and labels (N,) for the class means.

        Args:
            inputs: Images preprocessed for the teacher.
            data_samples: Data samples with ``gt_label``.
            source: ``'gt'``, since a classifier has no proposals.

        Raises:
            UserError: The source is not ``'gt'``.
        """
        if source != 'gt':
            raise UserError(
                f'source={source!r}: a classifier has no proposals; only '
                "'gt' is accepted."
            )
        embed, _ = self.look(self.teacher.extract_feat(inputs))
        return embed, torch.cat([sample.gt_label for sample in data_samples])

    def _map_of_cells(self, student: dict) -> Tensor:
        feature_map = _last_map(student)
        if feature_map.ndim != 4:
            raise UserError(
                f'The last map of {type(self.student.backbone).__name__} has '
                f'shape {tuple(feature_map.shape)}, but a connector for '
                'student_map takes (N, C, H, W); use '
                "connectors=dict(student_embed=dict(type='LinearAdaptor'))."
            )
        return feature_map

    def _regions(
        self, feature_map: Tensor, model: nn.Module, layers: list[str]
    ) -> Tensor:
        width = find_module(model, layers[0]).in_features
        if feature_map.ndim != 4 or feature_map.shape[1] != width:
            raise UserError(
                f'The last map of {type(model.backbone).__name__} has shape '
                f'{tuple(feature_map.shape)}, but its classification layer '
                f'takes {width} channels; regional logits need a '
                'classification layer after global average pooling (N, C, '
                'H, W) -> (N, C).'
            )
        cells = region_pool(feature_map, self.scales, self.via_4x4)
        logits = _classify(cells.transpose(1, 2), model, layers)
        return logits.transpose(1, 2)


def class_layers(model: nn.Module, side: str) -> list[str]:
    """Return the paths of a head's linear classification layers.

    Args:
        model: Classifier with a ``head`` that has ``num_classes``.
        side: Name of the network in messages.

    Raises:
        UserError: There is none.
    """
    head = getattr(model, 'head', None)
    classes = getattr(head, 'num_classes', None)
    found = [
        f'head.{path}'
        for path, module in (head.named_modules() if head else ())
        if isinstance(module, nn.Linear) and module.out_features == classes
    ]
    if not found:
        raise UserError(
            f'The {side} {type(model).__name__} has no linear classification '
            'layer in its head; LogitDistiller is for classifiers such as '
            "mmpretrain's ImageClassifier with a LinearClsHead."
        )
    return found


def _classifier_points(layers: list[str]) -> dict[str, str]:
    points = {}
    for number, path in enumerate(layers):
        points[f'embed{number}'] = f'{path}:input'
        points[f'logits{number}'] = path
    return points


def _read_classifier(
    records: dict[str, list], layers: list[str]
) -> tuple[Tensor, Tensor]:
    numbers = range(len(layers))
    return (
        _mean([records[f'embed{number}'][0][0] for number in numbers]),
        _mean([records[f'logits{number}'][0] for number in numbers]),
    )


def _classify(embed: Tensor, model: nn.Module, layers: list[str]) -> Tensor:
    modules = [find_module(model, path) for path in layers]
    return _mean([m(embed.to(m.weight.dtype)) for m in modules])


def _mean(tensors: list[Tensor]) -> Tensor:
    return torch.stack(tensors).mean(0) if len(tensors) > 1 else tensors[0]


def _last_map(records: dict[str, list]) -> Tensor:
    record = records['map'][0]
    return record[-1] if isinstance(record, (tuple, list)) else record
