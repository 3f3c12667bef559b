"""FactorDistiller: factors, halves of channels and margins."""

from collections.abc import Sequence

from torch import nn

from kd_det import random_state
from kd_det.connectors.coder import LevelCoders
from kd_det.connectors.split import ChannelSplit, check_split, inheriting
from kd_det.distillers.ofd_margins import margins_at
from kd_det.distillers.teacher_factors import TeacherFactors
from kd_det.errors import UserError
from kd_det.masks import fitting, zero_outside
from kd_det.registry import MODELS

HALVES = ('student_inherit_feats', 'student_explore_feats')
# student factors -> the feature maps that they are computed from
FACTORS = {
    'student_factors': 'student_feats',
    'student_inherit_factors': 'student_inherit_feats',
    'student_explore_factors': 'student_explore_feats',
}


@MODELS.register_module()
class FactorDistiller(TeacherFactors):
    """Distil factors of feature maps: FT, IE-KD, and OFD with its margins.

    In addition to the feature maps of :class:`FeatureDistiller` it provides
    the following fields, which are only computed if a loss uses them:

    - ``student_inherit_feats``, ``student_explore_feats``: the student's maps,
      split by channels;
    - ``teacher_factors``: the teacher's maps, encoded by a frozen auto-encoder
      that ``AutoEncoderHook`` or ``kd_det autoencoder`` trains;
    - ``student_factors``, ``student_inherit_factors``,
      ``student_explore_factors``: the student's maps, or half of their
      channels, encoded by an encoder with the same architecture that is
      trained with the student;
    - ``teacher_margins``: expected negative value of each channel after the
      batch norm before the teacher's tap point.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        auto_encoder: File with the teacher's auto-encoder; required for
            factors.
        channels: Channels of the factors, one number or one per level.
        norm: Whether the coders use batch norm, as in IE-KD but not in FT.
        shared: Whether all levels, with equal channels, share one
            auto-encoder.
        split: Arguments of ``ChannelSplit``: ``ratio``, ``order``.
        connectors: See :class:`Distiller`; also accepted for the halves.
        taps: See :class:`FeatureDistiller`.
        norms: Paths of the batch norms for the margins, one per level;
            default: found automatically.

    Raises:
        UserError: A loss needs factors and no file is set.
    """

    provides = (
        *TeacherFactors.provides,
        *HALVES,
        *FACTORS,
        'teacher_margins',
    )

    def __init__(
        self,
        losses: dict,
        auto_encoder: str | None = None,
        channels: int | Sequence[int] = 32,
        norm: bool = True,
        shared: bool = False,
        split: dict | None = None,
        connectors: dict | None = None,
        taps: dict[str, list[str]] | None = None,
        norms: list[str] | None = None,
    ) -> None:
        super().__init__(
            losses, auto_encoder, channels, norm, shared, connectors, taps
        )
        self.factors = [field for field in FACTORS if field in self.asked]
        self.halves = {*HALVES} & (
            self.asked | {FACTORS[field] for field in self.factors}
        )
        self.split_cfg = check_split(split or {})
        self.norms = norms
        for field in self.connectors.cfgs:
            if field in FACTORS:
                raise UserError(
                    f'connectors has {field!r}, which an encoder computes; '
                    'accepted are student_feats, student_inherit_feats and '
                    'student_explore_feats.'
                )

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`."""
        super().bind(name, student, teacher)
        ours, theirs = self._channels
        with random_state.isolated():
            if self.halves:
                self._split(ours)
            self.encoders = nn.ModuleDict(
                {
                    field: LevelCoders(
                        self._width_of(FACTORS[field]),
                        self.widths,
                        **self.coder,
                    )
                    for field in self.factors
                }
            )
        if 'teacher_margins' in self.asked:
            margins = margins_at(
                teacher.model,
                self.teacher_points,
                [j for _, j in self.levels],
                theirs,
                self.norms,
            )
            for level, margin in enumerate(margins):
                self.register_buffer(
                    f'margin{level}', margin, persistent=False
                )

    def _split(self, ours: list[int]) -> None:
        for half in sorted(self.halves):
            for width, channels in zip(self._width_of(half), ours):
                if width == 0:
                    raise UserError(
                        f'split has ratio={self.split_cfg["ratio"]!r}, which '
                        f'leaves {half} none of {channels} channels; choose '
                        'another ratio, or remove the losses that use that '
                        'half.'
                    )
        self.split = ChannelSplit(ours, **self.split_cfg)

    def _width_of(self, field: str) -> list[int]:
        """Return the channels of the student's maps, or of one half."""
        ours, _ = self._channels
        if field not in HALVES:
            return ours
        ratio = self.split_cfg['ratio']
        first = [inheriting(count, ratio) for count in ours]
        if field == HALVES[0]:
            return first
        return [count - own for count, own in zip(ours, first)]

    def channels(self, field: str) -> tuple[list[int], list[int]]:
        """See :meth:`Distiller.channels`."""
        return self._width_of(field), self._channels[1]

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the fields of one step; see :meth:`Distiller.read`."""
        knowledge = super().read(student, teacher, feats, samples)
        if self.halves:
            halves = self.split(knowledge['student_feats'])
            for field, maps in zip(HALVES, halves):
                knowledge[field] = maps
                # the target of a connector of a half
                theirs = field.replace('student_', 'teacher_')
                knowledge[theirs] = knowledge['teacher_feats']
        if 'teacher_margins' in self.asked:
            knowledge['teacher_margins'] = tuple(
                getattr(self, f'margin{level}')
                for level in range(len(self.levels))
            )
        return knowledge

    def check_taught(self, knowledge: dict) -> None:
        """See :meth:`Distiller.check_taught`; also checks encoder inputs."""
        raw = {field: knowledge[FACTORS[field]] for field in self.factors}
        super().check_taught({**knowledge, **raw})

    def connect(self, knowledge: dict) -> dict:
        """See :meth:`Distiller.connect`; adds the factors."""
        # encoders get the original maps, without connectors
        raw = {field: knowledge[FACTORS[field]] for field in self.factors}
        knowledge = super().connect(knowledge)
        masks = knowledge['feat_masks']
        for half in self.halves:
            knowledge[half] = tuple(
                zero_outside(level, fitting(mask, level))
                for level, mask in zip(knowledge[half], masks)
            )
        for field, maps in raw.items():
            knowledge[field] = self.encoders[field](maps, masks)
        return knowledge
