"""Distiller: reads both networks at matching points, applies losses."""

import os.path as osp

import torch
from torch import Tensor, nn

from kd_det.centroids import CentroidBank
from kd_det.errors import UserError, nearest
from kd_det.losses import DistillLoss
from kd_det.registry import build_part
from kd_det.taps import FeatureTap


class Distiller(nn.Module):
    """Base: which knowledge there is, and which loss gets what.

    A subclass names what it ``provides`` and where the student is tapped,
    and writes ``read``. A loss takes the fields named by the parameters of
    its ``forward``.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        centroids: File of the teacher's class means; provides
            ``centroids``. A file that is missing is made by CentroidHook.
        taps: Overrides of the student's points, for unusual detectors.

    Raises:
        UserError: A loss is unknown, badly named, or asks for a field that
            is not provided.
    """

    provides: tuple[str, ...] = ()
    points: dict[str, str] = {}

    def __init__(
        self,
        losses: dict,
        centroids: str | None = None,
        taps: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.centroid_file = centroids
        self.bank: CentroidBank | None = None
        if not isinstance(losses, dict):
            raise UserError(
                f'losses={losses!r} is a {type(losses).__name__}; a dict of '
                "name (loss_…) -> dict(type='…') is accepted."
            )
        self.losses = nn.ModuleDict(
            {name: _build_loss(name, cfg) for name, cfg in losses.items()}
        )
        self.wiring = {
            name: self._wire(name, loss) for name, loss in self.losses.items()
        }
        self.points = self._override(taps or {})

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

    def _wire(self, name: str, loss: DistillLoss) -> tuple[str, ...]:
        provided = self.provides
        if self.centroid_file:
            provided = (*provided, 'centroids')
        fields = loss.fields()
        for field in fields.required:
            if field in provided:
                continue
            fix = (
                "; say centroids='FILE.npz' in the distiller"
                if field == 'centroids'
                else ''
            )
            raise UserError(
                f'{type(self).__name__} provides {", ".join(provided)}, but '
                f'{name} ({type(loss).__name__}) asks for {field!r}{fix}.'
            )
        optional = [field for field in fields.optional if field in provided]
        return (*fields.required, *optional)

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """Find the points in both networks and check that they match.

        A centroid file that exists is read and verified here.

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
        self._teacher = (teacher,)  # in a tuple: it is no sub-module
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
    def teacher(self) -> nn.Module:
        """The ``FrozenTeacher``."""
        return self._teacher[0]

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
        self, records: dict[str, list], feats: tuple[Tensor, ...]
    ) -> dict[str, Tensor]:
        """Return the knowledge of one step.

        Args:
            records: What the student's tap recorded.
            feats: The teacher's feature maps of the same images.
        """
        raise NotImplementedError

    def forward(self, knowledge: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weighted losses of one step by name."""
        if self.centroid_file:
            if self.bank is None:
                raise UserError(
                    f'{type(self).__name__} needs the centroid file '
                    f'{self.centroid_file!r}, which does not exist: make it '
                    'with tools/compute_centroids.py or add '
                    "custom_hooks=[dict(type='kd_det.CentroidHook')]."
                )
            knowledge = dict(knowledge, centroids=self.centroids)
        return {
            name: loss(**{f: knowledge[f] for f in self.wiring[name]})
            for name, loss in self.losses.items()
        }


def _build_loss(name: str, cfg: dict) -> DistillLoss:
    if not name.startswith('loss_'):
        raise UserError(
            f'A distillation loss is named {name!r}; a name begins with '
            "'loss_', or MMEngine would not add it to the total."
        )
    return build_part(name, cfg, DistillLoss)
