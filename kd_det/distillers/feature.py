"""FeatureDistiller: distils feature maps."""

from mmengine.logging import print_log
from torch import nn

from kd_det import random_state
from kd_det.distillers.base import Distiller
from kd_det.distillers.box_areas import box_areas
from kd_det.distillers.levels import (
    levels_at,
    maps_of,
    match_levels,
    table,
    with_sizes,
)
from kd_det.errors import UserError
from kd_det.masks import crop_to_common, fitting, mask_of, zero_outside
from kd_det.registry import MODELS

SIDES = ('student', 'teacher')


@MODELS.register_module()
class FeatureDistiller(Distiller):
    """Distil feature maps of any two networks.

    Without taps, these are the neck outputs, matched by stride; levels that
    exist in one network only are skipped. With taps, they are the maps at the
    given points, in that order. A point with several maps counts as several
    levels; a pooled embedding (N, D) is a map of one pixel, and the tokens of
    a DETR encoder are reshaped to maps.

    If a loss compares maps element-wise, channels or sizes differ and no
    connector is set, an :class:`AlignConnector` is added. Cells in the batch
    padding are zero in both networks. ``feat_areas`` is the area of the
    smallest annotated box at each cell, in cells, and 0 in the background.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        connectors: See :class:`Distiller`.
        taps: ``dict(student=[…], teacher=[…])``: tap points from shallow to
            deep, such as ``'backbone.layer1'``. The teacher's points must be
            in its backbone or neck, or in the ``'encoder'`` of a DETR.
    """

    provides = ('student_feats', 'teacher_feats', 'feat_masks', 'feat_areas')

    def __init__(
        self,
        losses: dict,
        connectors: dict | None = None,
        taps: dict[str, list[str]] | None = None,
    ) -> None:
        taps = _check_taps(taps or {})
        super().__init__(losses, connectors=connectors)
        self.by_stride = not taps
        self.points = _number(taps.get('student', ['neck']))
        self.teacher_points = _number(taps.get('teacher', ['neck']))

    def match_up(self, classes: tuple[str, ...], teacher: nn.Module) -> None:
        """Do nothing, since feature maps do not depend on classes."""

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`."""
        ours = levels_at(student, self.points, 'student')
        theirs = levels_at(teacher.model, self.teacher_points, 'teacher')
        if self.by_stride:
            self.levels = match_levels(ours, theirs)
        elif len(ours) == len(theirs):
            self.levels = [(i, i) for i in range(len(ours))]
        else:
            raise UserError(
                f'The student has {len(ours)} maps at '
                f'{[*self.points.values()]}, the teacher {len(theirs)} at '
                f'{[*self.teacher_points.values()]}; set matching tap '
                'points, or omit taps to match necks by stride.'
            )
        pairs = [(ours[i], theirs[j]) for i, j in self.levels]
        self._channels = tuple(
            [level.channels for level in side] for side in zip(*pairs)
        )
        self.strides = [theirs.stride for _, theirs in pairs]
        # the stride of a map with one cell, or of a vector, is unknown
        self.alike = [
            self.by_stride or a.stride == b.stride and a.size[1] > 1
            for a, b in pairs
        ]
        entrywise = any(loss.entrywise for loss in self.losses.values())
        differ = any(
            (a.channels, a.stride) != (b.channels, b.stride) for a, b in pairs
        )
        named = 'student_feats' in self.connectors.cfgs
        if entrywise and differ and not named:
            align = dict(type='AlignConnector', _scope_='kd_det')
            self.connectors.cfgs = dict(
                self.connectors.cfgs, student_feats=align
            )
        alike = [(i, i) for i in range(max(len(ours), len(theirs)))]
        if differ or self.levels != alike:
            text = table(ours, theirs, self.levels)
            print_log(f'Levels of distillers.{name}\n{text}', 'current')
        self.points = with_sizes(self.points)
        self.teacher_points = with_sizes(self.teacher_points)
        super().bind(name, student, teacher)
        with random_state.isolated():
            for loss in self.losses.values():
                loss.build_weights(self._channels[1])

    def channels(self, field: str) -> tuple[list[int], list[int]]:
        """See :meth:`Distiller.channels`."""
        return self._channels

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the fields of one step; see :meth:`Distiller.read`."""
        ours, theirs = maps_of(student), maps_of(teacher)
        pairs = [(ours[i], theirs[j]) for i, j in self.levels]
        pairs = [
            crop_to_common(*pair, samples, stride) if alike else pair
            for pair, stride, alike in zip(pairs, self.strides, self.alike)
        ]
        mine, other = zip(*pairs)
        levels = [*zip(other, self.strides)]
        knowledge = dict(
            student_feats=mine,
            teacher_feats=other,
            feat_masks=tuple(mask_of(m, samples, s) for m, s in levels),
        )
        if 'feat_areas' in self.asked:
            areas = (box_areas(samples, m, s) for m, s in levels)
            knowledge['feat_areas'] = tuple(areas)
        return knowledge

    def connect(self, knowledge: dict) -> dict:
        """See :meth:`Distiller.connect`; also sets padding to zero."""
        knowledge = super().connect(knowledge)
        masks = knowledge['feat_masks']
        for field in ('student_feats', 'teacher_feats'):
            knowledge[field] = tuple(
                zero_outside(level, fitting(mask, level))
                for level, mask in zip(knowledge[field], masks)
            )
        return knowledge


def _check_taps(taps: dict) -> dict:
    good = isinstance(taps, dict) and all(
        side in SIDES
        and isinstance(points, (list, tuple))
        and all(isinstance(point, str) for point in points)
        and points
        for side, points in taps.items()
    )
    if not good:
        raise UserError(
            f'taps={taps!r}; dict(student=[points], teacher=[points]) is '
            'accepted, where a point is a module path such as '
            "'backbone.layer4'."
        )
    return taps


def _number(points: list[str]) -> dict[str, str]:
    return {f'{number}': point for number, point in enumerate(points)}
