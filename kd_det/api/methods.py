"""Checks which methods fit a pair of detectors."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from kd_det.distillers import Distiller
from kd_det.distillers.describe import describe
from kd_det.distillers.factor import FACTORS
from kd_det.distillers.levels import LARGE, PROBE
from kd_det.distillers.wiring import build_losses
from kd_det.errors import UserError, few, nearest
from kd_det.models.inherit import Inheritance
from kd_det.models.spec import read_spec
from kd_det.models.stitch import find_joints, find_readers, look
from kd_det.models.teacher import FrozenTeacher
from kd_det.registry import MODELS, build_part
from kd_det.shipped import shipped

ENDINGS = ('_roi', '_dense', '_query')  # of presets for one kind of head
CLASSIFIERS = '_logit'
DEFAULTS = ('stitch', 'pkd', 'kd')  # the first that fits is used
PARTS = ('neck', 'rpn_head', 'roi_head', 'bbox_head')


@dataclass(frozen=True)
class Verdict:
    """Whether a method fits a pair.

    Attributes:
        name: Name of the preset.
        fits: Whether it fits.
        text: What is distilled, or why it does not fit.
        files: Distiller -> required file, ``'centroids'`` or
            ``'auto_encoder'``.
    """

    name: str
    fits: bool
    text: str
    files: dict[str, str] = field(default_factory=dict)


@functools.cache
def presets() -> dict[str, Config]:
    """Return the presets for detectors by name; not to be changed."""
    folder = Path(shipped('configs')) / '_base_/methods'
    return {
        path.stem: Config.fromfile(path)
        for path in sorted(folder.glob('*.py'))
        if not path.stem.endswith(CLASSIFIERS)
    }


class Pair:
    """Two detectors, built to check what can be distilled.

    Args:
        student: ``dict(cfg=…)``, see :func:`read_spec`.
        teacher: ``dict(cfg=…, ckpt=…)``.
        classes: Class names in label order.

    Raises:
        FileNotFoundError: A config or the checkpoint does not exist.
        UserError: A file cannot be read, a network is not a detector, or the
            checkpoint does not match.
    """

    def __init__(
        self, student: dict, teacher: dict, classes: tuple[str, ...]
    ) -> None:
        self.spec = dict(student, num_classes=len(classes))
        self.classes = classes
        with _silence():
            model, _ = read_spec(self.spec, 'student')
            self.student = MODELS.build(model).eval()
            self.teacher = FrozenTeacher(teacher, classes, PARTS)
        for side, network, spec in (
            ('student', self.student, student),
            ('teacher', self.teacher.model, teacher),
        ):
            if not hasattr(network, 'with_bbox'):
                raise UserError(
                    f'The {side} {spec["cfg"]!r} is a '
                    f'{type(network).__name__}; an MMDetection detector is '
                    'accepted. For classifiers, copy one of the pairs in '
                    'configs/imagenet.'
                )

    def judge(self, name: str, preset: Config) -> Verdict:
        """Return whether a method fits.

        Args:
            name: Name of the preset.
            preset: From :func:`presets`.
        """
        method = preset.method
        lines, files = [], {}
        try:
            with _silence():
                if method.get('student', {}).get('inherit'):
                    lines.append(self._inherited(method.student))
                for key, cfg in method.get('distillers', {}).items():
                    needed = _file_of(cfg)
                    if needed:
                        files[key] = needed
                    lines.append(self._distilled(key, cfg, needed))
        except UserError as error:
            return Verdict(name, False, str(error).removesuffix('.'))
        return Verdict(name, True, ' and '.join(lines), files)

    def _inherited(self, student: ConfigDict) -> str:
        """Describe what is inherited; raise if a layer does not match."""
        parts = tuple(student.inherit)
        if hasattr(self.student, 'decoder') and 'decoder' not in parts:
            raise UserError(
                f'{" and ".join(parts)} of the teacher work with its encoder '
                'and decoder, which this preset does not inherit'
            )
        inherited = Inheritance(
            parts, self.student, self.spec, self.teacher, self.classes
        )
        text = f"{', '.join(parts)} start from the teacher's weights"
        with torch.no_grad():
            readers = self._readers(parts, student.get('stitch', False))
        left = {
            name: reason
            for name, reason in inherited.refused.items()
            if name.rpartition('.')[0] not in readers
        }
        for name, reason in left.items():
            more = f', and {len(left) - 1} more differ' * (len(left) > 1)
            raise UserError(f'{name} of the student is {reason}{more}')
        if student.get('stitch'):
            text += f'; fitted to it: {few(readers)}'
        return text

    def _readers(self, parts: tuple[str, ...], stitch: bool) -> list[str]:
        """Return the layers that follow the backbone; try to fit them."""
        first = next(self.student.parameters())
        for side in (PROBE, LARGE):
            image = first.new_zeros(1, 3, side, side)
            try:
                readers = find_readers(self.student, parts, image)
                if stitch:
                    joints = find_joints(readers, self.student, self.teacher)
                    look(joints, self.student, self.teacher, image, image)
            except RuntimeError:  # smaller than some kernel
                if side == LARGE:
                    raise
            else:
                return readers
        raise AssertionError

    def _distilled(self, name: str, cfg: ConfigDict, needed: str) -> str:
        """Describe what a distiller reads; raise if it does not fit."""
        # a missing file is not read
        cfg = dict(cfg, **({needed: 'not created yet'} if needed else {}))
        with DefaultScope.overwrite_default_scope('kd_det'):
            distiller = build_part(f'distillers.{name}', cfg, Distiller)
            distiller.match_up(self.classes, self.teacher)
            distiller.bind(name, self.student, self.teacher)
        return describe(distiller)


def _file_of(cfg: ConfigDict) -> str:
    """Return the name of the required file argument of a distiller."""
    with DefaultScope.overwrite_default_scope('kd_det'):
        losses = build_losses(cfg.type, cfg.losses)
    asked = {f for loss in losses.values() for f in loss.fields().required}
    if 'centroids' in asked:
        return 'centroids'
    return 'auto_encoder' if asked & {'teacher_factors', *FACTORS} else ''


@contextmanager
def _silence() -> Iterator[None]:
    """Suppress the log output of networks and distillers."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('ERROR')
    try:
        yield
    finally:
        logger.setLevel(level)


def choose(method: str | None, verdicts: dict[str, Verdict]) -> Verdict:
    """Return the verdict of the requested or default method.

    Args:
        method: Name of a preset, with or without its suffix; default: the
            first of ``DEFAULTS`` that fits.
        verdicts: Verdicts of all presets by name.

    Raises:
        UserError: The method is unknown or does not fit.
    """
    fitting = [name for name, verdict in verdicts.items() if verdict.fits]
    reasons = {}
    for wanted in (method,) if method else DEFAULTS:
        names = [
            name
            for ending in ('', *ENDINGS)
            if (name := f'{wanted}{ending}') in verdicts
        ]
        if not names:
            known = [*verdicts]
            raise UserError(
                f'There is no method {method!r}; accepted are '
                f'{few(known, 40)}{nearest(method, known) or "."}'
            )
        for name in names:
            if verdicts[name].fits:
                return verdicts[name]
            reasons[name] = verdicts[name].text
    # prefer the preset for the pair's kind of head
    text = '; '.join(f'{name}: {text}' for name, text in reasons.items())
    other = f'these fit: {few(fitting, 40)}.' if fitting else 'none fits.'
    raise UserError(
        f'{method or "No default method"} does not fit this pair ({text}); '
        f'{other}'
    )
