"""The side-by-side timing of a teacher's switches."""

import pytest
from benchmark_teacher import teacher_switches
from tiny import pair_cfg

from kd_det.errors import UserError
from kd_det.models import rewriting


class Run:
    """As much of a run's config as is read."""

    def __init__(self, model):
        self.model = model


def test_rows_are_the_switches(teacher, monkeypatch):
    monkeypatch.setattr(rewriting, 'is_fast_in', lambda dtype: True)
    rows = teacher_switches(Run(pair_cfg(teacher)), (64, 64), 1, rounds=3)
    assert rows[0].variant == 'none' and rows[0].error == 0
    assert rows[3].variant == (
        'fuse_conv_bn=True, channels_last=True, dtype=bfloat16'
    )
    assert all(row.ms > 0 for row in rows)
    # folding reorders sums, bfloat16 loses digits: neither is a copy
    assert 0 < rows[1].error < 1e-4 < rows[3].error < 0.2


@pytest.mark.parametrize(
    ('size', 'images', 'rounds', 'message'),
    [
        ((0, 0), 4, 7, '--size 0; 1 or more is accepted'),
        ((64, 64), 0, 7, '--batch-size 0; 1 or more'),
        ((64, 64), 4, 0, '--rounds 0; 1 or more'),
    ],
)
def test_wrong_numbers(teacher, size, images, rounds, message):
    with pytest.raises(UserError, match=message):
        teacher_switches(Run(pair_cfg(teacher)), size, images, rounds)


def test_needs_a_teacher():
    with pytest.raises(UserError, match='has no teacher'):
        teacher_switches(Run(dict(type='FasterRCNN')), (64, 64), 1, 1)
