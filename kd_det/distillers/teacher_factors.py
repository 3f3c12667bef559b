"""TeacherFactors: the teacher's factors from a frozen auto-encoder."""

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
from kd_det.distillers.levels import maps_of, run_transformer
from kd_det.errors import UserError
from kd_det.masks import mask_of, zero_outside
from kd_det.taps import FeatureTap


class TeacherFactors(FeatureDistiller):
    """The teacher's part of a ``FactorDistiller``: its auto-encoder.

    Args:
        losses: See ``FactorDistiller``.
        auto_encoder: See ``FactorDistiller``.
        channels: See ``FactorDistiller``.
        norm: See ``FactorDistiller``.
        shared: See ``FactorDistiller``.
        connectors: See :class:`Distiller`.
        taps: See :class:`FeatureDistiller`.

    Raises:
        UserError: A loss needs factors and no file is set.
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
        # in a tuple, so that checkpoints do not contain it
        self._auto_encoder = ()
        self.check_factors()

    def check_factors(self) -> None:
        """Raise if a loss needs factors and there is no auto-encoder.

        Raises:
            UserError: The config sets no auto-encoder.
        """
        file = self.auto_encoder_file
        if file is not None and (not isinstance(file, str) or osp.isdir(file)):
            what = 'a folder' if isinstance(file, str) else 'no text'
            raise UserError(
                f'FactorDistiller has auto_encoder={file!r}, which is '
                f"{what}; a file path is accepted, auto_encoder='FILE.pth'."
            )
        if 'teacher_factors' in self.asked and not file:
            raise UserError(
                'FactorDistiller: a loss needs teacher_factors, but '
                "auto_encoder is not set; set auto_encoder='FILE.pth', which "
                'AutoEncoderHook or `kd_det autoencoder` creates.'
            )

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`; the auto-encoder is read here."""
        # without the point that is only used for sizes
        self.points_of_teacher = [*self.teacher_points.values()]
        super().bind(name, student, teacher)
        theirs = self._channels[1]
        widths = self.factor_channels
        several = isinstance(widths, (list, tuple))
        self.widths = [*widths] if several else [widths] * len(theirs)
        # type instead of isinstance, since True is not accepted
        if len(self.widths) != len(theirs) or not all(
            type(width) is int and width > 0 for width in self.widths
        ):
            raise UserError(
                f'FactorDistiller: channels={widths!r} with {len(theirs)} '
                'levels; an integer above 0, or one per level, is accepted.'
            )
        file = self.auto_encoder_file
        if file and osp.isfile(file):
            self.load_auto_encoder()

    def new_auto_encoder(self) -> AutoEncoder:
        """Return an untrained auto-encoder for the teacher's maps."""
        return AutoEncoder(self._channels[1], self.widths, **self.coder)

    def identity(self) -> dict:
        """Return the expected provenance of the auto-encoder, except data."""
        return dict(
            teacher_sha256=self.teacher.sha256,
            points=self.points_of_teacher,
            in_channels=[*self._channels[1]],
            channels=self.widths,
            **self.coder,
        )

    @property
    def auto_encoder(self) -> AutoEncoder | None:
        """The teacher's auto-encoder, or None if not loaded yet."""
        return self._auto_encoder[0] if self._auto_encoder else None

    def set_auto_encoder(self, auto_encoder: AutoEncoder) -> None:
        """Set and freeze the auto-encoder."""
        device = next(self.teacher.model.parameters()).device
        auto_encoder = auto_encoder.to(device).eval().requires_grad_(False)
        self._auto_encoder = (auto_encoder,)

    def load_auto_encoder(self) -> dict:
        """Read the file, check its provenance and return it.

        Raises:
            FileNotFoundError: The file does not exist.
            UserError: The file is damaged or does not match.
        """
        file = self.auto_encoder_file
        state, provenance = load_auto_encoder(file)
        check_provenance(file, provenance, self.identity())
        with random_state.isolated():
            auto_encoder = self.new_auto_encoder()
        try:
            auto_encoder.load_state_dict(state)
        except (
            AttributeError,
            RuntimeError,
            TypeError,
        ):  # the provenance matches, so the file was edited
            raise UserError(
                f'Auto-encoder {file!r} has weights that do not match its '
                f'provenance; {AGAIN}.'
            ) from None
        if not all(v.isfinite().all() for v in state.values()):
            raise UserError(
                f'Auto-encoder {file!r} contains NaN or infinity; {AGAIN}.'
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
        """Return the teacher's feature maps of some images and their masks.

        Args:
            inputs: Images preprocessed for the teacher.
            samples: Data samples of the images.
        """
        model = self.teacher.model
        with FeatureTap(model, self.teacher_points) as records:
            feats = self.teacher.extract_feat(inputs)
            run_transformer(model, feats, samples, self.teacher_points)
        theirs = maps_of(self.teacher.plain(dict(records)))
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
            UserError: It has not been loaded.
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
