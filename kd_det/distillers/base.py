"""Distiller: reads both networks at matching points, applies losses."""

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

# what the teacher's last layers make of the student's embedding
CROSSED = {'cross_logits', 'cross_boxes'}


class Distiller(nn.Module):
    """Base: which knowledge there is, and which loss gets what.

    A subclass names what it ``provides`` and where the networks are
    tapped, and writes ``read``. A loss takes the fields named by the
    parameters of its ``forward``.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        centroids: File of the teacher's class means; provides
            ``centroids``. A file that is missing is made by CentroidHook.
        connectors: Field of the student -> config of a ``Connector``,
            through which the field passes before any loss. Its channels are
            filled in from what the networks have, also in
            ``connectors.cfgs``.
        taps: Overrides of the student's points, for unusual networks.

    Raises:
        UserError: A loss or connector is unknown, badly named, or asks for
            a field that is not provided.
    """

    provides: tuple[str, ...] = ()
    points: dict[str, str] = {}
    # open while the teacher's ``extract_feat`` runs
    teacher_points: dict[str, str] = {}
    # images that may share a batch when the class means are computed
    images_at_once = 1
    # what a connector works on beside the fields; no loss can ask for it
    connectable: tuple[str, ...] = ()
    # what else is made of a field that has passed through its connector
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
            provided = (*provided, 'centroids')
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
        """Bring the class lists together by name; see ``ClassMatch``.

        Args:
            classes: The student's; () if not known.
            teacher: The ``FrozenTeacher``, whose list may be unknown too.
        """
        self.match = match_classes(classes, teacher.classes)

    def theirs_of(self, samples: list) -> list:
        """Return data samples with boxes of classes the teacher knows.

        Args:
            samples: With ``gt_instances``, labelled as the student's.
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
        """Return labels of the teacher's (background last) as ours."""
        return labels if self.match is None else self.match.to_ours[labels]

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """Find the points in both networks and check that they match.

        Connectors are built and a centroid file that exists is read and
        verified here. The class lists are known by then.

        Args:
            name: Name of this distiller in the config.
            student: The student network.
            teacher: The ``FrozenTeacher``.

        Raises:
            UserError: A point is missing, or widths, classes or the
                centroid file do not fit.
        """
        self.name = name
        self.tap = FeatureTap(student, self.points)
        # in tuples: they are no sub-modules
        self._student, self._teacher = (student,), (teacher,)
        with random_state.isolated():
            self.connectors.build(self.channels)
        if not self.centroid_file:
            return
        # there from the start, so that an averaged copy of the model made
        # before the class means are known has the same buffers
        expected = self.expected_bank()
        empty = torch.zeros(expected['num_rows'], expected['width'])
        # the file is where they live
        self.register_buffer('centroids', empty, persistent=False)
        if osp.isfile(self.centroid_file):
            self.set_bank(CentroidBank.load(self.centroid_file))

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
            field: Such as ``'student_embed'``.

        Returns:
            Two integers, or two lists of them for fields of several levels.
        """
        raise UserError(
            f'{type(self).__name__} knows no channels of {field}; write '
            'in_channels and out_channels in the connector.'
        )

    def check_counts(self, ours: int, theirs: int) -> None:
        """Stop if the class counts differ and no names can match them.

        Args:
            ours: The student's number of classes, without background.
            theirs: The teacher's.
        """
        if self.match is not None:
            counts = self.match.counts
            if (ours, theirs) == (counts['student'], counts['teacher']):
                return
            raise UserError(
                f'The heads have {ours} (student) and {theirs} (teacher) '
                f'classes, the lists of names {counts["student"]} and '
                f'{counts["teacher"]}; correct classes in the config, or '
                'teacher.classes.'
            )
        if ours != theirs:
            raise UserError(
                f'The student has {ours} classes, the teacher {theirs}, and '
                'not both lists of names are known; name them: classes=(…) '
                'at the top of the config, teacher.classes=(…).'
            )

    def check_columns(self, columns: int) -> None:
        """Stop if a loss needs more classes than there are, or counts others.

        Args:
            columns: Of the student's logits, background included.
        """
        if self.match is not None:
            columns += len(self.match.names) - self.match.counts['student']
        for name, loss in self.losses.items():
            if loss.least_classes > columns:
                raise UserError(
                    f'{name} ({type(loss).__name__}) needs '
                    f'{loss.least_classes} classes, and the logits have '
                    f'{columns}; use a loss of each class by itself: '
                    'SigmoidKDLoss, or on a one-stage head DenseKDLoss.'
                )
            rows = loss.columns
            if rows not in (None, columns):
                raise UserError(
                    f'{name} has num_classes={rows}, but the logits have '
                    f"{columns} columns (a two-stage detector's with the "
                    f'background); write num_classes={columns}.'
                )

    def check_widths(self, ours: int, theirs: int, fix: str) -> None:
        """Stop if a loss compares embeddings of different widths.

        Args:
            ours: Width of the student's embedding.
            theirs: Width of the teacher's.
            fix: What to do about it, for the message.
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
        """Say once a side that regional logits cut a map too finely.

        Args:
            side: ``'student'`` or ``'teacher'``.
            what: What to call the map.
            maps: Shape (N, C, H, W).
        """
        size = min(maps.shape[-2:])
        fine = [scale for scale in self.scales if scale > size]
        if side in self._told or not fine:
            return
        self._told.add(side)
        print_log(
            f"{type(self).__name__}: the {side}'s {what} is only {size} "
            f'cells wide, so scale {fine[0]} shows nothing finer there; it '
            'only gives the coarser cells more weight.',
            'current',
            level=logging.WARNING,
        )

    def expected_bank(self) -> dict:
        """Return what ``CentroidBank.verify`` must find: width and rows."""
        raise NotImplementedError

    def default_source(self) -> str:
        """Return the source of class means that the losses can work with."""
        return 'gt'

    def check_coverage(self) -> None:
        """Stop if a loss needs a class mean that the bank lacks."""

    def set_bank(self, bank: CentroidBank) -> None:
        """Take the class means after checking that they are the teacher's.

        Raises:
            UserError: The bank has another width, other rows, or comes from
                another teacher checkpoint.
        """
        bank.verify(
            self.centroid_file,
            teacher_sha256=self.teacher.sha256,
            **self.expected_bank(),
        )
        self.bank = bank
        self.centroids = torch.from_numpy(bank.centroids).to(self.centroids)

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the knowledge of one step.

        Args:
            student: What the student's tap recorded: name -> list.
            teacher: What the taps at ``teacher_points`` recorded.
            feats: What the teacher's ``extract_feat`` returned for the same
                images.
            samples: The data samples of the step, one an image.
        """
        raise NotImplementedError

    def check_taught(self, knowledge: dict) -> None:
        """Stop if a loss has no gradient for the student.

        Args:
            knowledge: What ``read`` returned: the weights of a connector
                come later and hide that.

        Raises:
            UserError: All that a loss takes of the student is without one.
        """
        for name, fields in self.wiring.items():
            own = [f for f in fields if f.startswith('student_')]
            parts = [knowledge[f] for f in own if f in knowledge]
            maps = [
                m
                for part in parts
                for m in ([part] if isinstance(part, Tensor) else part)
            ]
            # what is empty, as without objects, may have none
            if any(m.requires_grad or not m.numel() for m in maps) or not maps:
                continue
            raise UserError(
                f'distillers.{self.name}: no gradient of {name} reaches the '
                f'student through {", ".join(own)}, which come from frozen '
                'layers (backbone.frozen_stages) or from within a '
                'checkpointed block (backbone.with_cp=True); name a later '
                'point in taps, or set frozen_stages=-1 or with_cp=False in '
                'the student.'
            )

    def connect(self, knowledge: dict) -> dict:
        """Return the knowledge with each connector applied to its field."""
        return self.connectors(knowledge)

    def forward(self, knowledge: dict) -> dict[str, Tensor]:
        """Return the weighted losses of one step by name.

        Args:
            knowledge: What ``read`` and then ``connect`` returned.
        """
        if self.centroid_file:
            if self.bank is None:
                raise UserError(
                    f'{type(self).__name__} needs the centroid file '
                    f'{self.centroid_file!r}, which does not exist: make it '
                    'with `kd_det centroids` or add '
                    "custom_hooks=[dict(type='kd_det.CentroidHook')]."
                )
            knowledge = dict(knowledge, centroids=self.centroids)
        if self.match is not None:
            own = {'labels', 'region_labels', 'dense_foreground'}
            needed = (self.asked | own) & {*knowledge}
            knowledge = self.match({f: knowledge[f] for f in needed})
        return {
            name: loss(**{f: knowledge[f] for f in self.wiring[name]})
            for name, loss in self.losses.items()
        }
