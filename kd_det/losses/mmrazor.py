"""MMRazorLoss: mmrazor losses in kd_det distillers."""

import inspect
import logging
from collections.abc import Iterable, Iterator

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from kd_det.checks import check_finite
from kd_det.compat import mmrazor
from kd_det.errors import UserError, nearest
from kd_det.functional._common import float32_math, total
from kd_det.losses.base import DistillLoss, Fields

# Losses whose inputs no distiller can provide.
UNSUPPORTED = {
    'ActivationLoss': 'it depends on the teacher only, to train an image '
    'generator (DAFL), and a frozen teacher gets no gradient',
    'CRDLoss': 'it needs the index of each image in the data set and a '
    "memory bank of all images, which only mmrazor's CRDDataset provides, "
    'and that is written for mmcls',
    'InformationEntropyLoss': 'it depends on the teacher only, to train an '
    'image generator (DAFL), and a frozen teacher gets no gradient',
    'KDSoftCELoss': 'it calls a function of mmcls, which MMPretrain replaced; '
    'mmrazor.KLDivergence has the same gradient',
    'OnehotLikeLoss': 'it depends on the teacher only, to train an image '
    'generator (DAFL), and a frozen teacher gets no gradient',
}
SIDES = dict(student='teacher', teacher='student')
# Losses that support different widths of student and teacher.
ANY_WIDTH = ('ATLoss', 'AngleWiseRKD', 'DistanceWiseRKD')
# Losses that take the softmax of logits.
SOFTMAX = ('DISTLoss', 'DKDLoss', 'KLDivergence', 'WSLD')


class MMRazorLoss(DistillLoss):
    """An mmrazor loss as a ``DistillLoss``.

    A distiller builds it from a config such as ``dict(type='mmrazor.PKDLoss',
    loss_weight=6, inputs=dict(preds_S='student_feats',
    preds_T='teacher_feats'))``. All other settings are passed to mmrazor's
    class, including ``loss_weight``, which has mmrazor's default and is
    applied once, by mmrazor. The scale of a schedule is applied in addition.

    For a field with several levels, the losses of the levels are summed.
    Half-precision input is computed in float32; an empty batch gives a 0 that
    is connected to the graph.

    Args:
        name: Name of the loss in the config.
        cfg: Config of the loss.

    Raises:
        UserError: The loss is unknown or unusable, or its arguments or inputs
            are wrong.
    """

    def __init__(self, name: str, cfg: dict) -> None:
        super().__init__()
        found = mmrazor.find(name, cfg, mmrazor.LOSSES, UNSUPPORTED)
        arguments = {
            key: value
            for key, value in cfg.items()
            if key not in ('type', '_scope_', 'inputs')
        }
        self.kind = kind = found.__name__
        if 'loss_weight' in arguments:
            check_finite(name, 'loss_weight', arguments['loss_weight'])
        self.loss = mmrazor.make(name, found, arguments)
        self.inputs = self._check_inputs(name, cfg.get('inputs'))
        self.entrywise = kind not in ANY_WIDTH
        if kind in SOFTMAX:
            self.least_classes = 2
        if hasattr(self.loss, 'num_classes'):  # checked by the distiller
            self.columns = self.loss.num_classes
        if kind == 'DKDLoss' and self.loss.reduction in ('mean', 'none'):
            print_log(
                f'{name}: mmrazor.DKDLoss sums over the batch despite '
                f'reduction={self.loss.reduction!r}, since it also sets '
                "size_average=False: N times the value of 'batchmean', and "
                'N K and 2 N times the requested mean (for the other '
                'classes and the target class; N samples, K classes); use '
                "reduction='batchmean', and multiply loss_weight by N to "
                'keep the value.',
                'current',
                level=logging.WARNING,
            )

    def _check_inputs(self, name: str, inputs: dict | None) -> dict[str, str]:
        parameters = inspect.signature(self.loss.forward).parameters
        needed = [k for k, p in parameters.items() if p.default is p.empty]
        takes = f'mmrazor.{self.kind} takes {", ".join(needed)}'
        if not isinstance(inputs, dict) or not inputs:
            raise UserError(
                f'{name} has inputs={inputs!r}; {takes}, so map each '
                f"argument to a field, inputs=dict({needed[0]}='…', …)."
            )
        for key, field in inputs.items():
            if key not in parameters:
                raise UserError(
                    f'{name} has inputs for {key!r}; {takes}'
                    f'{nearest(key, parameters) or "."}'
                )
            if not isinstance(field, str):
                raise UserError(
                    f'{name} has inputs with {key}={field!r}; a field such '
                    "as 'student_feats' is accepted."
                )
            if other_side(key) and field.startswith(f'{other_side(key)}_'):
                raise UserError(
                    f'{name} has inputs with {key}={field!r}, but {key} of '
                    f'mmrazor.{self.kind} belongs to the other network; use '
                    f'a field of the {SIDES[other_side(key)]}.'
                )
        missing = [key for key in needed if key not in inputs]
        if missing:
            raise UserError(
                f'{name} has no inputs for {missing[0]!r}; {takes}.'
            )
        return dict(inputs)

    @property
    def config_weight(self) -> float:
        """``loss_weight`` of mmrazor's loss."""
        return self.loss.loss_weight

    def fields(self) -> Fields:
        """Return the fields listed in ``inputs``."""
        return Fields(tuple(dict.fromkeys(self.inputs.values())), ())

    def forward(self, **knowledge: Tensor | tuple) -> Tensor:
        """Return the loss as a scalar.

        Args:
            knowledge: The fields listed by :meth:`fields`.

        Raises:
            UserError: The numbers of levels differ, or mmrazor's loss fails on
                the shapes.
        """
        arguments = {k: knowledge[field] for k, field in self.inputs.items()}
        return self.weigh(total(map(self._level, self._levels(arguments))))

    def _levels(self, arguments: dict) -> Iterator[dict]:
        counts = {
            self.inputs[key]: len(value)
            for key, value in arguments.items()
            if isinstance(value, (list, tuple))
        }
        if len({*counts.values()}) > 1:
            raise UserError(
                f'mmrazor.{self.kind} is applied to each level, but the '
                f'fields have {counts} levels; set the same number of tap '
                'points for both networks.'
            )
        for level in range(next(iter(counts.values()), 1)):
            yield {
                key: value[level]
                if isinstance(value, (list, tuple))
                else value
                for key, value in arguments.items()
            }

    def _level(self, arguments: dict) -> Tensor:
        tensors = [*_tensors(arguments.values())]
        if any(len(tensor) == 0 for tensor in tensors):
            real = [x for x in tensors if x.is_floating_point()]
            return total(x.float().sum() for x in real if len(x) == 0)
        try:
            value = _compute(self.loss, **arguments)
        except torch.cuda.OutOfMemoryError:
            raise
        except (AssertionError, RuntimeError, ValueError) as error:
            shapes = {
                self.inputs[key]: [tuple(x.shape) for x in _tensors([value])]
                for key, value in arguments.items()
            }
            raise UserError(
                f'mmrazor.{self.kind} failed on the shapes {shapes} '
                f'({type(error).__name__}: {error}); correct its arguments, '
                'or make the fields match with connectors=dict(…).'
            ) from error
        return value.mean()  # as MMEngine does with unreduced losses


def other_side(key: str) -> str | None:
    """Return the side whose fields an argument must not use, if any.

    Args:
        key: Argument name, such as ``'preds_S'``, ``'t_feature'`` or
            ``'student'``.
    """
    if key.startswith(('s_', 'student')) or key.endswith('_S'):
        return 'teacher'
    if key.startswith(('t_', 'teacher')) or key.endswith('_T'):
        return 'student'
    return None


@float32_math
def _compute(loss: nn.Module, **arguments) -> Tensor:
    return loss(**arguments)


def _tensors(values: Iterable) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)
