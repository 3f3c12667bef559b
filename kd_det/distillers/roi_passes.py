"""Find the run of a box head that its classification loss trains."""

from typing import Any

import torch
from torch import Tensor

from kd_det.distillers.class_outputs import USE
from kd_det.errors import UserError
from kd_det.taps import Records

Pass = dict[str, list]


def trained_pass(records: Records, points: dict[str, str], head: str) -> Pass:
    """Return the records of the run that a box head is trained on.

    A head may run more than once in a step: OHEM first scores all candidates.
    The wanted run is the one whose logits are passed to the head's
    classification loss, with gradients if there are any.

    Args:
        records: Records of a tap, of one or several stages.
        points: Key, such as ``'logits'``, -> name of the record.
        head: Name of the head in messages.

    Returns:
        Key -> entries of that run; ``'targets'`` is empty if no RoI was
        sampled.

    Raises:
        UserError: There is no such run, or more than one, or the numbers of
            its RoIs, logits and labels differ.
    """
    passes = _passes(records, {name: key for key, name in points.items()})
    if not passes:
        raise UserError(
            f'{head} does not run its classification layer; {USE}.'
        )
    last = passes[-1]
    if not (last['targets'] or len(last['logits'][0])):
        return last  # nothing was sampled, so the loss is skipped
    learnt = [found for found in passes if found['targets']]
    if torch.is_grad_enabled() and last['logits'][0].requires_grad:
        learnt = [p for p in learnt if p['logits'][0].requires_grad]
        if len(learnt) > 1:
            raise UserError(
                f'{head} is trained on {len(learnt)} runs in a step, so its '
                f'RoIs are ambiguous; {USE}.'
            )
    if not learnt:
        raise UserError(
            f'{head} does not pass the output of its classification layer to '
            f'its classification loss, so its logits are ambiguous; {USE}.'
        )
    _check_rows(learnt[-1], head)
    return learnt[-1]


def _passes(records: Records, keys: dict[str, str]) -> list[Pass]:
    """Return the runs of a classification layer, each with its records."""
    passes: list[Pass] = []
    learnt: list[Pass] = []  # by the last call of the classification loss
    current: Pass = dict.fromkeys(keys.values())
    for name, entry in records.calls:
        key = keys.get(name)
        if key is None:
            continue
        if key == 'targets':
            learnt = [p for p in passes if _is_for(entry, p['logits'][0])]
            for found in learnt:
                found['targets'] = [entry]
            continue
        if key == 'box_targets':  # a head calls its box loss after the other
            for found in learnt:
                found['box_targets'] = found['box_targets'] or [entry]
            continue
        again = key == 'logits' and current.get(key)
        if key == 'rois' or again:  # a new run, or RoIs of masks
            current = {key: [] for key in keys.values()}
        if not current.get(key):
            current[key] = []
        current[key].append(entry)
        if key == 'logits':
            passes.append(current)
    return passes


def _is_for(arguments: tuple[Any, ...], logits: Tensor) -> bool:
    """Return whether a loss was called with these logits, and labels."""
    if len(arguments) < 2 or not isinstance(arguments[0], Tensor):
        return False
    given = arguments[0]
    same = given.data_ptr() == logits.data_ptr() and given.numel() > 0
    return given is logits or same and given.shape == logits.shape


def _check_rows(found: Pass, head: str) -> None:
    logits, labels = found['logits'][0], found['targets'][0][1]
    rois = found['rois'][0][1] if found.get('rois') else logits
    plain = isinstance(labels, Tensor) and labels.ndim == 1
    if not plain or labels.is_floating_point():
        what = getattr(labels, 'shape', type(labels).__name__)
        raise UserError(
            f'{head} passes labels of {what} to its classification loss, and '
            f'one class index per RoI is required; {USE}.'
        )
    if logits.ndim != 2 or not len(logits) == len(labels) == len(rois):
        raise UserError(
            f'{head} gives logits {tuple(logits.shape)} for {len(rois)} RoIs '
            f'and {len(labels)} labels, and one row per RoI is required; '
            f'{USE}.'
        )
