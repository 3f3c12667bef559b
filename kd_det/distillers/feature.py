"""FeatureDistiller: knowledge of feature maps, level by level."""

import torch
from torch import Tensor, nn

from kd_det import random_state
from kd_det.distillers.base import Distiller
from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.taps import FeatureTap

SIDES = ('student', 'teacher')
PROBE = 64  # side of the image that shows channels, in pixels


@MODELS.register_module()
class FeatureDistiller(Distiller):
    """Distil feature maps at matching points of both networks.

    Without taps these are the maps that the neck hands to the heads. A
    point that gives several maps counts as as many levels; a pooled
    embedding (N, D) is a map of one pixel.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        connectors: See :class:`Distiller`.
        taps: ``dict(student=[…], teacher=[…])``: points from shallow to
            deep, such as ``'backbone.layer1'``. A teacher's points lie in
            what its ``extract_feat`` runs: backbone and neck.
    """

    provides = ('student_feats', 'teacher_feats')

    def __init__(
        self,
        losses: dict,
        connectors: dict | None = None,
        taps: dict[str, list[str]] | None = None,
    ) -> None:
        taps = _check_taps(taps or {})
        super().__init__(losses, connectors=connectors)
        self.points = _number(taps.get('student', ['neck']))
        self.teacher_points = _number(taps.get('teacher', ['neck']))

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`."""
        ours = channels_at(student, self.points)
        theirs = channels_at(teacher.model, self.teacher_points)
        self._channels = ours, theirs
        if len(ours) != len(theirs):
            raise UserError(
                f'The student has {len(ours)} maps at '
                f'{[*self.points.values()]}, the teacher {len(theirs)} at '
                f'{[*self.teacher_points.values()]}; name as many points '
                'that match.'
            )
        entrywise = any(loss.entrywise for loss in self.losses.values())
        connected = 'student_feats' in self._connector_cfgs
        if ours != theirs and entrywise and not connected:
            raise UserError(
                f"The student's maps have {ours} channels, the teacher's "
                f'{theirs}; add connectors=dict(student_feats=…) to the '
                'distiller or name other points.'
            )
        super().bind(name, student, teacher)

    def channels(self, field: str) -> tuple[list[int], list[int]]:
        """See :meth:`Distiller.channels`."""
        return self._channels

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the knowledge of one step; see :meth:`Distiller.read`."""
        return dict(student_feats=_maps(student), teacher_feats=_maps(teacher))


def channels_at(model: nn.Module, points: dict[str, str]) -> list[int]:
    """Return the channels of the maps at some points of a network.

    The network is shown one empty image and left as it was.

    Args:
        model: With ``extract_feat``.
        points: Name -> point, see ``FeatureTap``.
    """
    modes = {module: module.training for module in model.modules()}
    parameter = next(model.parameters())
    with random_state.isolated(), torch.no_grad():
        with FeatureTap(model.eval(), points) as records:
            model.extract_feat(parameter.new_zeros(1, 3, PROBE, PROBE))
    for module, training in modes.items():
        module.training = training
    silent = [points[name] for name, record in records.items() if not record]
    if silent:
        raise UserError(
            f'Tap point {silent[0]!r} of {type(model).__name__} gives '
            'nothing: extract_feat does not run it; name a point in the '
            'backbone or neck.'
        )
    return [level.shape[1] for level in _maps(records)]


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
            f'taps={taps!r}; accepted is dict(student=[points], '
            'teacher=[points]), a point being a module path such as '
            "'backbone.layer4'."
        )
    return taps


def _number(points: list[str]) -> dict[str, str]:
    return {f'{number}': point for number, point in enumerate(points)}


def _maps(records: dict[str, list]) -> tuple[Tensor, ...]:
    return tuple(
        level if level.ndim > 2 else level[..., None, None]
        for record in records.values()
        for entry in record
        for level in (entry if isinstance(entry, (tuple, list)) else [entry])
    )
