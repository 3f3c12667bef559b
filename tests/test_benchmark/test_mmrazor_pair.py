"""A pair in mmrazor has the same student and the same losses."""

import copy

import pytest
import torch
from tiny import build, losses_of, pair_cfg

from kd_det.benchmark.mmrazor_pair import FPN, WHOLE, mmrazor_pairs
from kd_det.errors import UserError
from kd_det.models import FrozenTeacher

PKD = dict(
    type='FeatureDistiller',
    losses=dict(loss_pkd=dict(type='PKDLoss', loss_weight=6.0)),
)


def test_pkd(teacher, batch):
    cfg = pair_cfg(teacher)
    cfg.distillers = dict(feats=copy.deepcopy(PKD))
    model = build(cfg)
    pairs = mmrazor_pairs(model, FrozenTeacher(teacher))
    assert [*pairs] == [WHOLE, FPN]
    ours = losses_of(model, batch)
    pairs[FPN].train()  # it returns nothing
    theirs = losses_of(pairs[FPN], batch)
    task = [key for key in ours if not key.startswith('feats')]
    for key in task:
        assert torch.equal(
            torch.as_tensor(_sum(ours[key])),
            torch.as_tensor(_sum(theirs[f'student.{key}'])),
        ), key
    terms = [v for k, v in theirs.items() if k.startswith('distill.')]
    assert len(terms) == 5
    # theirs divides by M - 1 in the standard deviation
    torch.testing.assert_close(
        sum(terms), ours['feats.loss_pkd'], rtol=0.2, atol=0
    )


def _sum(value):
    return value if isinstance(value, torch.Tensor) else sum(value)


def test_kd_on_rois(teacher, batch):
    model = build(pair_cfg(teacher))
    pairs = mmrazor_pairs(model, FrozenTeacher(teacher))
    assert [*pairs] == [WHOLE]
    pairs[WHOLE].train()
    losses = losses_of(pairs[WHOLE], batch)
    assert losses['distill.loss_0'].isfinite()


def test_a_loss_that_it_does_not_have(teacher):
    model = build(pair_cfg(teacher, losses=dict(loss_x=dict(type='DISTLoss'))))
    with pytest.raises(UserError, match='no counterpart of roi.loss_x'):
        mmrazor_pairs(model, FrozenTeacher(teacher))
