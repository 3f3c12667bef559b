"""FactorDistiller: factors of maps, halves of channels, margins."""

import os.path as osp
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kd_det import random_state
from kd_det.connectors.auto_encoder_file import (
    AGAIN,
    check_provenance,
    load_auto_encoder,
)
from kd_det.connectors.coder import (
    AutoEncoder,
    LevelCoders,
    fitting,
    zero_outside,
)
from kd_det.connectors.split import ChannelSplit, inheriting
from kd_det.distillers.feature import FeatureDistiller
from kd_det.distillers.levels import encode, is_deep, maps_of
from kd_det.distillers.margins import margins_at
from kd_det.distillers.padding import mask_of
from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.taps import FeatureTap

HALVES = ('student_inherit_feats', 'student_explore_feats')
# factors of the student -> the maps that they are made of
FACTORS = {
    'student_factors': 'student_feats',
    'student_inherit_factors': 'student_inherit_feats',
    'student_explore_factors': 'student_explore_feats',
}


@MODELS.register_module()
class FactorDistiller(FeatureDistiller):
    """Distil factors of feature maps: FT, IE-KD, and OFD with its margins.

    Beside the maps of :class:`FeatureDistiller` there are, for losses that
    ask for them:

    - ``student_inherit_feats``, ``student_explore_feats``: the student's
      maps, divided by channels;
    - ``teacher_factors``: the teacher's maps through the encoder of a
      frozen auto-encoder, which ``AutoEncoderHook`` or
      ``tools/train_autoencoder.py`` trains;
    - ``student_factors``, ``student_inherit_factors``,
      ``student_explore_factors``: the student's maps, or a half of them,
      through an encoder of the same layers that trains with the student;
    - ``teacher_margins``: of each channel the mean negative value behind the
      batch norm in front of the teacher's point.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        auto_encoder: File of the teacher's auto-encoder; needed for factors.
        channels: Of the factors; one number, or one a level.
        norm: Batch norm in the coders, as in IE-KD; FT has none.
        shared: One auto-encoder for all levels, where they are equally wide.
        split: Arguments of ``ChannelSplit``: ``ratio``, ``order``.
        connectors: See :class:`Distiller`; halves may have one too.
        taps: See :class:`FeatureDistiller`.
        norms: Paths of the batch norms for the margins, one a level; found
            in the teacher without it.

    Raises:
        UserError: A loss asks for factors and no file is named.
    """

    provides = (
        *FeatureDistiller.provides,
        *HALVES,
        *FACTORS,
        'teacher_factors',
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
        super().__init__(losses, connectors, taps)
        self.factors = [field for field in FACTORS if field in self.asked]
        self.halves = {*HALVES} & (
            self.asked | {FACTORS[field] for field in self.factors}
        )
        self.auto_encoder_file = auto_encoder
        self.factor_channels = channels
        self.coder = dict(norm=norm, shared=shared)
        self.split_cfg = dict(dict(ratio=0.5, order='natural'), **split or {})
        self.norms = norms
        # in a tuple: the file is where it lives, no checkpoint has it
        self._auto_encoder = ()
        self.check_factors()
        for field in self.connectors.cfgs:
            if field in FACTORS:
                raise UserError(
                    f'connectors has {field!r}, which an encoder makes; '
                    'accepted are student_feats, student_inherit_feats and '
                    'student_explore_feats.'
                )

    def check_factors(self) -> None:
        """Stop if a loss asks for factors and there is nothing to make them.

        Raises:
            UserError: The config names no auto-encoder.
        """
        if 'teacher_factors' in self.asked and not self.auto_encoder_file:
            raise UserError(
                'FactorDistiller: a loss asks for teacher_factors, and '
                "auto_encoder is not named; say auto_encoder='FILE.pth', "
                'which AutoEncoderHook or tools/train_autoencoder.py makes.'
            )

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`; the auto-encoder is read here."""
        # without the point that only tells sizes
        self.points_of_teacher = [*self.teacher_points.values()]
        super().bind(name, student, teacher)
        ours, theirs = self._channels
        widths = self.factor_channels
        self.widths = (
            [widths] * len(theirs) if isinstance(widths, int) else [*widths]
        )
        if len(self.widths) != len(theirs) or not all(
            isinstance(width, int) and width > 0 for width in self.widths
        ):
            raise UserError(
                f'FactorDistiller: channels={widths!r} with {len(theirs)} '
                'levels; an integer above 0, or one a level, is accepted.'
            )
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
        file = self.auto_encoder_file
        if file and osp.isfile(file):
            self.load_auto_encoder()

    def _split(self, ours: list[int]) -> None:
        for half in sorted(self.halves):
            for width, channels in zip(self._width_of(half), ours):
                if width == 0:
                    raise UserError(
                        f'split has ratio={self.split_cfg["ratio"]!r}, which '
                        f'leaves {half} none of {channels} channels; choose '
                        'another ratio, or take out the losses that ask for '
                        'that half.'
                    )
        self.split = ChannelSplit(ours, **self.split_cfg)

    def _width_of(self, field: str) -> list[int]:
        """Return the channels of the student's maps, or of a half of them."""
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

    def new_auto_encoder(self) -> AutoEncoder:
        """Return an untrained auto-encoder of the teacher's maps."""
        return AutoEncoder(self._channels[1], self.widths, **self.coder)

    def identity(self) -> dict:
        """Return what an auto-encoder must come from, beside the data."""
        return dict(
            teacher_sha256=self.teacher.sha256,
            points=self.points_of_teacher,
            in_channels=[*self._channels[1]],
            channels=self.widths,
            **self.coder,
        )

    @property
    def auto_encoder(self) -> AutoEncoder | None:
        """The teacher's auto-encoder, once it is there."""
        return self._auto_encoder[0] if self._auto_encoder else None

    def set_auto_encoder(self, auto_encoder: AutoEncoder) -> None:
        """Take an auto-encoder and hold it still."""
        device = next(self.teacher.model.parameters()).device
        auto_encoder = auto_encoder.to(device).eval().requires_grad_(False)
        self._auto_encoder = (auto_encoder,)

    def load_auto_encoder(self) -> dict:
        """Read the file, check whose it is, and return its provenance.

        Raises:
            FileNotFoundError: No such file.
            UserError: It is damaged, or of another teacher, point or width.
        """
        file = self.auto_encoder_file
        state, provenance = load_auto_encoder(file)
        check_provenance(file, provenance, self.identity())
        with random_state.isolated():
            auto_encoder = self.new_auto_encoder()
        try:
            auto_encoder.load_state_dict(state)
        except RuntimeError:  # its provenance is right: somebody changed it
            raise UserError(
                f'Auto-encoder {file!r} has other weights than its provenance '
                f'says; {AGAIN}.'
            ) from None
        self.set_auto_encoder(auto_encoder)
        return provenance

    def _apply(self, fn, recurse: bool = True) -> 'FactorDistiller':
        for auto_encoder in self._auto_encoder:  # follow .to() and .cuda()
            auto_encoder._apply(fn)
        return super()._apply(fn, recurse)

    @torch.no_grad()
    def teacher_maps(
        self, inputs: Tensor, samples: list
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
        """Return the teacher's maps of some images, with their masks.

        Args:
            inputs: Images as the teacher wants them.
            samples: Their data samples.
        """
        model = self.teacher.model
        with FeatureTap(model, self.teacher_points) as records:
            feats = self.teacher.extract_feat(inputs)
            if is_deep(self.teacher_points):
                encode(model, feats, samples)
        theirs = maps_of(records)
        maps = tuple(theirs[j] for _, j in self.levels)
        masks = tuple(
            mask_of(level, samples, stride)
            for level, stride in zip(maps, self.strides)
        )
        return tuple(map(zero_outside, maps, masks)), masks

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the knowledge of one step; see :meth:`Distiller.read`."""
        knowledge = super().read(student, teacher, feats, samples)
        if self.halves:
            halves = self.split(knowledge['student_feats'])
            for field, maps in zip(HALVES, halves):
                knowledge[field] = maps
                # what a connector of a half is to resemble
                theirs = field.replace('student_', 'teacher_')
                knowledge[theirs] = knowledge['teacher_feats']
        if 'teacher_margins' in self.asked:
            knowledge['teacher_margins'] = tuple(
                getattr(self, f'margin{level}')
                for level in range(len(self.levels))
            )
        return knowledge

    def check_taught(self, knowledge: dict) -> None:
        """See :meth:`Distiller.check_taught`; an encoder hides it too."""
        raw = {field: knowledge[FACTORS[field]] for field in self.factors}
        super().check_taught({**knowledge, **raw})

    def connect(self, knowledge: dict) -> dict:
        """See :meth:`Distiller.connect`; adds the factors."""
        # an encoder has a map as it is, whatever connector others need
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
        if 'teacher_factors' in self.asked:
            with torch.no_grad():
                knowledge['teacher_factors'] = self._encoded(knowledge)
        return knowledge

    def require_auto_encoder(self) -> AutoEncoder:
        """Return the teacher's auto-encoder.

        Raises:
            UserError: It is not there.
        """
        if self.auto_encoder is None:
            raise UserError(
                f'{type(self).__name__} needs the auto-encoder '
                f'{self.auto_encoder_file!r}, which does not exist: train it '
                'with tools/train_autoencoder.py or add '
                "custom_hooks=[dict(type='kd_det.AutoEncoderHook')]."
            )
        return self.auto_encoder

    def _encoded(self, knowledge: dict) -> tuple[Tensor, ...]:
        return self.require_auto_encoder().encoder(
            knowledge['teacher_feats'], knowledge['feat_masks']
        )
