"""mmrazor's shipped PKD recipe in both systems: the same loss."""

import pytest
import torch
from razor import (
    FEATS,
    LEVELS,
    knowledge_of,
    mmrazor_pair,
    shipped_distiller,
)
from tiny import TASK, build, losses_of, pair_cfg, tiny_spec

KINDS = ('FpnTeacherDistill', 'SingleTeacherDistill')


@pytest.fixture(scope='module')
def theirs(teacher, batch):
    """Students and losses of mmrazor's two algorithms on the recipe."""
    found = {}
    for kind in KINDS:
        pair = mmrazor_pair(tiny_spec(), teacher, shipped_distiller(), kind)
        found[kind] = pair.architecture, losses_of(pair, batch)
    return found


def distilled(losses):
    """The distillation losses of mmrazor's pair, one a level."""
    levels = [losses[f'distill.loss_pkd_fpn{level}'] for level in range(4)]
    assert len([key for key in losses if key.startswith('distill')]) == 4
    return levels


def ours(teacher, batch, student, loss):
    """Our pair on the recipe with the same weights: it, and its losses."""
    cfg = pair_cfg(teacher)
    cfg.distillers = dict(
        fpn=dict(
            type='FeatureDistiller',
            taps=dict(student=LEVELS, teacher=LEVELS),
            losses=dict(loss_pkd=loss),
        )
    )
    pair = build(cfg)
    pair.student.load_state_dict(student.state_dict())
    return pair, losses_of(pair, batch)


def gradients(model, value):
    leaves = [p for p in model.parameters() if p.requires_grad]
    return torch.autograd.grad(
        value, leaves, retain_graph=True, allow_unused=True
    )


@pytest.mark.parametrize('kind', KINDS)
def test_parity_with_mmrazor(theirs, teacher, batch, kind):
    """The same distillation loss to 1e-5, and the same gradients."""
    student, losses = theirs[kind]
    expected = sum(distilled(losses))
    loss = dict(type='mmrazor.PKDLoss', loss_weight=6, inputs=FEATS)
    pair, found = ours(teacher, batch, student, loss)
    value = found['fpn.loss_pkd']
    print(f'\n{kind} {expected:.6f}, mmrazor.PKDLoss in kd_det {value:.6f}')
    assert value > 1  # the two networks differ
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
    expected_grads = gradients(student, expected)
    for x, y in zip(
        gradients(pair.student, value), expected_grads, strict=True
    ):
        assert (x is None) == (y is None)
        if x is not None:
            torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)
    if kind == 'FpnTeacherDistill':  # the other's teacher draws RoIs
        for key in TASK:
            torch.testing.assert_close(found[key], losses[f'student.{key}'])


def test_parity_of_our_pkd_up_to_the_factor(theirs, teacher, batch):
    """A level with M entries a channel is M / (M - 1) of mmrazor's."""
    student, losses = theirs['SingleTeacherDistill']
    loss = dict(type='PKDLoss', loss_weight=6)
    pair, _ = ours(teacher, batch, student, loss)
    seen = knowledge_of(pair)
    value = losses_of(pair, batch)['fpn.loss_pkd']
    sizes = [level[:, 0].numel() for level in seen['fpn']['student_feats']]
    assert sizes == [512, 128, 32, 8]
    factors = [m / (m - 1) for m in sizes]
    levels = distilled(losses)
    expected = sum(f * x for f, x in zip(factors, levels, strict=True))
    print(f'\nPKDLoss {value:.6f}, mmrazor times the factors {expected:.6f}')
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
    assert abs(value - sum(levels)) > 0.1  # the factor is seen
