"""What the tests that train a step of a config share."""

import ast
import functools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kd_det.models import FrozenTeacher, distill_model
from kd_det.models.spec import read_spec

WIDTHS = {'in_channels', 'out_channels', 'feat_channels', 'fc_out_channels'}
WIDTHS |= {'conv_out_channels'}


def quarter(part: dict) -> dict:
    """Return a quarter of each width in a part of a model, nothing else."""
    found = {}
    for key, value in part.items():
        if isinstance(value, dict):
            if inner := quarter(value):
                found[key] = inner
        elif key in WIDTHS:
            one = isinstance(value, int)
            found[key] = value // 4 if one else [v // 4 for v in value]
    return found


def network_of(spec: dict, side: str) -> dict:
    """Return a network's model config, which is not to be changed."""
    return _read_once(str(spec), side)


@functools.cache
def _read_once(spec: str, side: str) -> dict:
    return read_spec(ast.literal_eval(spec), side)[0]


@contextmanager
def teacher_kept() -> Iterator[None]:
    """Let the next pair have the last one's teacher, which does not change.

    It runs exactly, since the distillers of a pair decide what is folded.
    """
    last = {}

    def reuse(spec: dict, classes: tuple, keep: tuple) -> FrozenTeacher:
        if keep:  # the student takes these weights away
            return FrozenTeacher(spec, classes, keep)
        key = str((spec, classes))
        if key not in last:
            last.clear()  # the large ones would add up
            last[key] = FrozenTeacher(dict(spec, exact=True), classes)
        return last[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distill_model, 'FrozenTeacher', reuse)
        yield
