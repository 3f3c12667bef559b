"""TeacherFactors: maps of the teacher, encoded by what is held still."""

import os.path as osp
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kd_det import random_state
from kd_det.connectors.autoencoder_file import (
    AGAIN,
    check_provenance,
    load_auto_encoder,
)
from kd_det.connectors.coder import AutoEncoder
from kd_det.distillers.feature import FeatureDistiller
from kd_det.distillers.levels import encode, is_deep, maps_of
from kd_det.errors import UserError
from kd_det.masks import mask_of, zero_outside
from kd_det.taps import FeatureTap


class TeacherFactors(FeatureDistiller):
    """The teacher's half of a ``FactorDistiller``: its auto-encoder.

    Args:
        losses: See ``FactorDistiller``.
        auto_encoder: See there.
        channels: See there.
        norm: See there.
        shared: See there.
        connectors: See :class:`Distiller`.
        taps: See :class:`FeatureDistiller`.

    Raises:
        UserError: A loss asks for factors and no file is named.
    """

    provides = (*FeatureDistiller.provides, 'teacher_factors')

    def __init__(
        self,
        losses: dict,
        auto_encoder: str | None,
        channels: int | Sequence[int],
        norm: bool,
        shared: bool,
        connectors: dict | None,
        taps: dict[str, list[str]] | None,
    ) -> None:
        super().__init__(losses, connectors, taps)
        self.auto_encoder_file = auto_encoder
        self.factor_channels = channels
        self.coder = dict(norm=norm, shared=shared)
        # in a tuple: the file is where it lives, no checkpoint has it
        self._auto_encoder = ()
        self.check_factors()

    def check_factors(self) -> None:
        """Stop if a loss asks for factors and there is nothing to make them.

        Raises:
            UserError: The config names no auto-encoder.
        """
        file = self.auto_encoder_file
        if file is not None and (not isinstance(file, str) or osp.isdir(file)):
            what = 'a folder' if isinstance(file, str) else 'no text'
            raise UserError(
                f'FactorDistiller has auto_encoder={file!r}, which is {what}; '
                "the path of a file is accepted, auto_encoder='FILE.pth'."
            )
        if 'teacher_factors' in self.asked and not file:
            raise UserError(
                'FactorDistiller: a loss asks for teacher_factors, and '
                "auto_encoder is not named; say auto_encoder='FILE.pth', "
                'which AutoEncoderHook or `kd_det autoencoder` makes.'
            )

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`; the auto-encoder is read here."""
        # without the point that only tells sizes
        self.points_of_teacher = [*self.teacher_points.values()]
        super().bind(name, student, teacher)
        theirs = self._channels[1]
        widths = self.factor_channels
        several = isinstance(widths, (list, tuple))
        self.widths = [*widths] if several else [widths] * len(theirs)
        # type and not isinstance: True is no number of channels
        if len(self.widths) != len(theirs) or not all(
            type(width) is int and width > 0 for width in self.widths
        ):
            raise UserError(
                f'FactorDistiller: channels={widths!r} with {len(theirs)} '
                'levels; an integer above 0, or one a level, is accepted.'
            )
        file = self.auto_encoder_file
        if file and osp.isfile(file):
            self.load_auto_encoder()

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
        if not all(v.isfinite().all() for v in state.values()):
            raise UserError(
                f'Auto-encoder {file!r} holds NaN or infinity; {AGAIN}.'
            )
        self.set_auto_encoder(auto_encoder)
        return provenance

    def _apply(self, fn, recurse: bool = True) -> 'TeacherFactors':
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

    def connect(self, knowledge: dict) -> dict:
        """See :meth:`Distiller.connect`; adds the teacher's factors."""
        knowledge = super().connect(knowledge)
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
                'with `kd_det autoencoder` or add '
                "custom_hooks=[dict(type='kd_det.AutoEncoderHook')]."
            )
        return self.auto_encoder

    def _encoded(self, knowledge: dict) -> tuple[Tensor, ...]:
        return self.require_auto_encoder().encoder(
            knowledge['teacher_feats'], knowledge['feat_masks']
        )
