"""Distiller: the base of all distillers."""

import copy
import logging
import os.path as osp

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from kd_det import random_state
from kd_det.centroids import CentroidBank
from kd_det.distillers.class_match import ClassMatch, match_classes
from kd_det.distillers.connectors import Connectors
from kd_det.distillers.wiring import build_losses, wire
from kd_det.errors import UserError, nearest
from kd_det.taps import FeatureTap

# the student's embedding through the teacher's last layers
CROSSED = {'cross_logits', 'cross_boxes'}
# of the centroid file
OF_CLASSES = ('centroids', 'class_norms')


class Distiller(nn.Module):
    """Base of distillers: reads fields from both networks and applies losses.

    A subclass lists the fields that it ``provides`` and its tap points, and
    implements ``read``. A loss receives the fields named by the parameters of
    its ``forward``.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        centroids: File with the teacher's class means; provides ``centroids``
            and ``class_norms``. CentroidHook creates a missing file.
        connectors: Student field -> config of a ``Connector``, which is
            applied before any loss. Missing channels are filled in from the
            networks, also in ``connectors.cfgs``.
        taps: Overrides of the student's tap points, for unusual networks.

    Raises:
        UserError: A loss or connector is unknown or badly named, or requires a
            field that is not provided.
    """

    provides: tuple[str, ...] = ()
    points: dict[str, str] = {}
    # active while the teacher's ``extract_feat`` runs
    teacher_points: dict[str, str] = {}
    # batch size for computing class means
    images_at_once = 1
    # inputs of connectors besides the fields; not available to losses
    connectable: tuple[str, ...] = ()
    # fields that ``read`` provides without the teacher
    alone: tuple[str, ...] = ()
    # further fields derived from a field after its connector
    feeds: dict[str, tuple[str, ...]] = {}

    def __init__(
        self,
        losses: dict,
        centroids: str | None = None,
        connectors: dict | None = None,
        taps: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.centroid_file = centroids
        self.match: ClassMatch | None = None
        self.bank: CentroidBank | None = None
        owner = type(self).__name__
        self.losses = build_losses(owner, losses)
        provided = self.provides
        if centroids:
            provided = (*provided, *OF_CLASSES)
        self.wiring = wire(owner, self.losses, provided)
        self.asked = {f for fields in self.wiring.values() for f in fields}
        self.connectors = Connectors(
            owner,
            connectors or {},
            self.provides,
            self.connectable,
            self.feeds,
            self.asked,
        )
        self.points = self._override(taps or {})
        self._told: set[str] = set()

    def _override(self, taps: dict[str, str]) -> dict[str, str]:
        for key, point in taps.items():
            if not isinstance(point, str):
                raise UserError(
                    f'taps has {key}={point!r}; a module path such as '
                    "'roi_head.bbox_head.fc_cls:input' is accepted."
                )
            if self.points and key not in self.points:
                raise UserError(
                    f'taps has {key!r}; accepted are '
                    f'{", ".join(self.points)}{nearest(key, self.points)}'
                )
        return {**self.points, **taps}

    def match_up(self, classes: tuple[str, ...], teacher: nn.Module) -> None:
        """Match the class lists by name; see ``ClassMatch``.

        Args:
            classes: The student's class names; () if unknown.
            teacher: The ``FrozenTeacher``, whose class names may also be
                unknown.
        """
        self.match = match_classes(classes, teacher.classes)

    def theirs_of(self, samples: list) -> list:
        """Keep only boxes of classes that are known to the teacher.

        Args:
            samples: Data samples with ``gt_instances`` and the student's
                labels.
        """
        if self.match is None:
            return samples
        samples = copy.deepcopy(samples)
        for sample in samples:
            labels = self.match.to_teacher[sample.gt_instances.labels]
            known = labels >= 0
            sample.gt_instances = sample.gt_instances[known]
            sample.gt_instances.labels = labels[known]
        return samples

    def ours_of(self, labels: Tensor) -> Tensor:
        """Convert the teacher's labels (background last) to the student's."""
        return labels if self.match is None else self.match.to_ours[labels]

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """Find the tap points in both networks and check that they match.

        Also builds connectors, and reads and verifies an existing centroid
        file. The class lists are known at this point.

        Args:
            name: Name of this distiller in the config.
            student: The student network.
            teacher: The ``FrozenTeacher``.

        Raises:
            UserError: A tap point is missing, or widths, classes or the
                centroid file do not match.
        """
        self.name = name
        self.tap = FeatureTap(student, self.points)
        # in tuples, so that they do not become submodules
        self._student, self._teacher = (student,), (teacher,)
        with random_state.isolated():
            self.connectors.build(self.channels)
        if not self.centroid_file:
            return
        # created now, so that an averaged copy of the model made before the
        # class means are known has the same buffers
        expected = self.expected_bank()
        empty = torch.zeros(expected['num_rows'], expected['width'])
        # not saved in checkpoints, since they are in the file
        self.register_buffer('centroids', empty, persistent=False)
        norms = torch.zeros(expected['num_rows'])
        self.register_buffer('class_norms', norms, persistent=False)
        if osp.isfile(self.centroid_file):
            self.set_bank(CentroidBank.load(self.centroid_file))

    @property
    def needs_teacher(self) -> bool:
        """Whether a step needs the teacher's outputs."""
        return bool(self.asked - {*self.alone, *OF_CLASSES})

    @property
    def student(self) -> nn.Module:
        """The student network."""
        return self._student[0]

    @property
    def teacher(self) -> nn.Module:
        """The ``FrozenTeacher``."""
        return self._teacher[0]

    def channels(self, field: str) -> tuple:
        """Return the channels of a field in the student and the teacher.

        Args:
            field: Name of a student field, such as ``'student_embed'``.

        Returns:
            Two integers, or two lists of integers for fields with levels.
        """
        raise UserError(
            f'{type(self).__name__} does not know the channels of {field}; '
            'set in_channels and out_channels in the connector.'
        )

    def check_counts(self, ours: int, theirs: int) -> None:
        """Raise if the class counts differ and cannot be matched by name.

        Args:
            ours: Number of the student's classes, without background.
            theirs: Number of the teacher's classes.
        """
        if self.match is not None:
            counts = self.match.counts
            if (ours, theirs) == (counts['student'], counts['teacher']):
                return
            raise UserError(
                f'The heads have {ours} (student) and {theirs} (teacher) '
                f'classes, but the lists of names {counts["student"]} and '
                f'{counts["teacher"]}; correct classes in the config, or '
                'teacher.classes.'
            )
        if ours != theirs:
            raise UserError(
                f'The student has {ours} classes, the teacher {theirs}, and '
                'their names are not both known; set classes=(…) at the top '
                'level of the config, and teacher.classes=(…).'
            )

    def check_columns(self, columns: int) -> None:
        """Raise if the number of logits does not fit a loss.

        A loss that was given no number of classes takes that of the logits.

        Args:
            columns: Number of the student's logits, including background.
        """
        if self.match is not None:
            columns += len(self.match.names) - self.match.counts['student']
        for name, loss in self.losses.items():
            if loss.least_classes > columns:
                raise UserError(
                    f'{name} ({type(loss).__name__}) needs at least '
                    f'{loss.least_classes} classes, but the logits have '
                    f'{columns}; use a loss for independent classes: '
                    'SigmoidKDLoss, or DenseKDLoss for a one-stage head.'
                )
            rows = loss.columns
            if rows is None:
                loss.count_classes(columns)
            elif rows != columns:
                raise UserError(
                    f'{name} has num_classes={rows}, but the logits have '
                    f'{columns} columns (including background for a '
                    f'two-stage detector); set num_classes={columns}.'
                )

    def check_widths(self, ours: int, theirs: int, fix: str) -> None:
        """Raise if a loss compares embeddings of different widths.

        Args:
            ours: Width of the student's embedding.
            theirs: Width of the teacher's.
            fix: Suggested fix, for the message.
        """
        makers = {'student_embed', *self.connectable}
        if ours == theirs or makers & {*self.connectors.cfgs}:
            return
        compared = any(
            self.losses[name].entrywise
            and 'student_embed' in fields
            and {'teacher_embed', 'centroids'} & {*fields}
            for name, fields in self.wiring.items()
        )
        if compared or CROSSED & self.asked:
            raise UserError(
                f"The student's embedding is {ours} wide, the teacher's "
                f'{theirs}; {fix}.'
            )

    def warn_if_coarse(self, side: str, what: str, maps: Tensor) -> None:
        """Warn once per network if a map is smaller than the finest grid.

        Args:
            side: ``'student'`` or ``'teacher'``.
            what: Description of the map.
            maps: Shape (N, C, H, W).
        """
        size = min(maps.shape[-2:])
        fine = [scale for scale in self.scales if scale > size]
        if side in self._told or not fine:
            return
        self._told.add(side)
        print_log(
            f"{type(self).__name__}: the {side}'s {what} is only {size} "
            f'cells wide, so scale {fine[0]} adds no detail; it only gives '
            'the coarser cells more weight.',
            'current',
            level=logging.WARNING,
        )

    def expected_bank(self) -> dict:
        """Return the expected width and rows for ``CentroidBank.verify``."""
        raise NotImplementedError

    def default_source(self) -> str:
        """Return the source of class means that the losses need."""
        return 'gt'

    def check_coverage(self) -> None:
        """Raise if a loss needs a class mean that the file lacks."""

    def set_bank(self, bank: CentroidBank) -> None:
        """Set the class means after checking that they match the teacher.

        Raises:
            UserError: Width, rows or teacher checkpoint differ, or a loss
                needs the norms and the file has none.
        """
        bank.verify(
            self.centroid_file,
            teacher_sha256=self.teacher.sha256,
            **self.expected_bank(),
        )
        self.bank = bank
        self.centroids = torch.from_numpy(bank.centroids).to(self.centroids)
        if bank.norms is not None:
            self.class_norms = torch.from_numpy(bank.norms).to(self.centroids)
        elif 'class_norms' in self.asked:
            raise UserError(
                f'Centroid bank {self.centroid_file!r} has no norms, which '
                "norm='class' needs; compute it again with "
                '`kd_det centroids`.'
            )

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the fields of one step.

        Args:
            student: Records of the student's taps: name -> list.
            teacher: Records of the taps at ``teacher_points``.
            feats: Return value of the teacher's ``extract_feat`` for the same
                images; None unless ``needs_teacher``.
            samples: Data samples of the step, one per image.
        """
        raise NotImplementedError

    def check_taught(self, knowledge: dict) -> None:
        """Raise if a loss has no gradient for the student.

        Args:
            knowledge: Fields returned by ``read``, before connectors, whose
                weights always have gradients.

        Raises:
            UserError: No student field of a loss has a gradient.
        """
        for name, fields in self.wiring.items():
            own = [f for f in fields if f.startswith('student_')]
            parts = [knowledge[f] for f in own if f in knowledge]
            maps = [
                m
                for part in parts
                for m in ([part] if isinstance(part, Tensor) else part)
            ]
            # empty fields, for example without objects, may have none
            if any(m.requires_grad or not m.numel() for m in maps) or not maps:
                continue
            raise UserError(
                f'distillers.{self.name}: no gradient of {name} reaches the '
                f'student through {", ".join(own)}, which come from frozen '
                'layers (backbone.frozen_stages) or from a block with '
                'activation checkpointing (backbone.with_cp=True); use a '
                'later tap point, or set frozen_stages=-1 or with_cp=False '
                'in the student.'
            )

    def connect(self, knowledge: dict) -> dict:
        """Apply the connectors to their fields."""
        return self.connectors(knowledge)

    def forward(self, knowledge: dict) -> dict[str, Tensor]:
        """Return the weighted losses of one step by name.

        Args:
            knowledge: Fields returned by ``read`` and ``connect``.
        """
        if self.centroid_file:
            if self.bank is None:
                raise UserError(
                    f'{type(self).__name__} needs the centroid file '
                    f'{self.centroid_file!r}, which does not exist: create '
                    'it with `kd_det centroids` or add '
                    "custom_hooks=[dict(type='kd_det.CentroidHook')]."
                )
            own = {name: getattr(self, name) for name in OF_CLASSES}
            knowledge = knowledge | own
        if self.match is not None:
            own = {'labels', 'region_labels', 'dense_foreground'}
            needed = (self.asked | own) & {*knowledge}
            knowledge = self.match({f: knowledge[f] for f in needed})
        return {
            name: loss(**{f: knowledge[f] for f in self.wiring[name]})
            for name, loss in self.losses.items()
        }
