"""Distiller: reads both networks at matching points, applies losses."""

import os.path as osp

import torch
from torch import Tensor, nn

from kd_det.centroids import CentroidBank
from kd_det.errors import UserError, nearest
from kd_det.losses import DistillLoss
from kd_det.registry import MODELS
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
        self.losses = nn.ModuleDict(
            {name: _build_loss(name, cfg) for name, cfg in losses.items()}
        )
        self.wiring = {
            name: self._wire(name, loss) for name, loss in self.losses.items()
        }
        self.points = {**self.points, **(taps or {})}

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
        if self.centroid_file and osp.isfile(self.centroid_file):
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
        device = next(self.teacher.parameters()).device
        self.register_buffer(
            'centroids',
            torch.from_numpy(bank.centroids).to(device),
            persistent=False,  # the file is where they live
        )

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
    kind = cfg.get('type', '')
    if isinstance(kind, str) and MODELS.get(kind) is None:
        known = [
            key
            for key, value in MODELS.module_dict.items()
            if isinstance(value, type) and issubclass(value, DistillLoss)
        ]
        raise UserError(
            f'{name} is of unknown type {kind!r}; accepted are '
            f'{", ".join(sorted(known))}{nearest(kind, known)}'
        )
    return MODELS.build(cfg)
