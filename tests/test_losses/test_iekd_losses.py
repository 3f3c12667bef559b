"""The losses of IE-KD, FT and OFD against loops over levels and entries."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from kd_det.errors import UserError
from kd_det.functional import exploration_loss, inheritance_loss
from kd_det.losses import (
    AttentionTransferLoss,
    DistillLoss,
    ExplorationLoss,
    ExploreMapLoss,
    FactorTransferLoss,
    InheritanceLoss,
    InheritMapLoss,
    OFDLoss,
    ReconstructionLoss,
)
from kd_det.losses.reconstruction import reconstruction

SHAPES = [(3, 2, 4, 4), (3, 3, 2, 2)]
AT = dict(type='AttentionTransferLoss')
NORMS = pytest.mark.parametrize('p', [1, 2, 'cos'])


def draw(seed, shapes=SHAPES, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(s, generator=generator, dtype=dtype) for s in shapes
    )


def unit(x):
    return x / np.sqrt((x**2).sum())


def similarity(ours, theirs, p):
    """S_p of one level, and the mean |cos| for exploration."""
    gaps, cosines = [], []
    for one, other in zip(ours.numpy(), theirs.numpy()):
        one, other = unit(one), unit(other)
        gaps.append(np.abs(one - other))
        cosines.append((one * other).sum())
    if p == 'cos':
        return 1 - np.mean(cosines), np.mean(np.abs(cosines))
    value = np.mean(np.stack(gaps) ** p) ** (1 / p)
    return value, -value


@NORMS
def test_halves_against_loops(p):
    ours, theirs = draw(0), draw(1)
    pairs = [similarity(*level, p) for level in zip(ours, theirs)]
    for loss, place in ((InheritanceLoss, 0), (ExplorationLoss, 1)):
        value = loss(p=p, loss_weight=50.0)(ours, theirs)
        expected = 50 * np.mean([pair[place] for pair in pairs])
        assert value.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('p', [1, 2])
def test_signs_and_gradients_are_opposite(p):
    ours, theirs = draw(0), draw(1)
    gradients = []
    for loss in (InheritanceLoss(p=p), ExplorationLoss(p=p)):
        x = [level.clone().requires_grad_() for level in ours]
        loss(x, theirs).backward()
        gradients.append([level.grad for level in x])
    for one, other in zip(*gradients):
        assert torch.equal(one, -other)
        assert one.abs().max() > 0
    bound = np.mean([2 / math.sqrt(x[0].numel()) for x in ours])
    assert -bound <= ExplorationLoss(p=p)(ours, theirs) < 0


@NORMS
@pytest.mark.parametrize('loss', [InheritanceLoss, ExplorationLoss])
def test_safe_at_zero_and_equality(loss, p):
    theirs = draw(1)
    for ours in (theirs, [torch.zeros_like(x) for x in theirs]):
        ours = [x.clone().requires_grad_() for x in ours]
        value = loss(p=p)(ours, theirs)
        value.backward()
        assert value.isfinite()
        for x in ours:
            assert x.grad.isfinite().all() and x.grad.abs().max() < 10


def test_untrained_magnitude():
    """0.0249 for 32 channels of 8 x 8, so that 50 weighs about 1.2."""
    ours, theirs = draw(0, [(64, 32, 8, 8)]), draw(1, [(64, 32, 8, 8)])
    value = InheritanceLoss()(ours, theirs).item()
    assert value == pytest.approx(0.0249, abs=2e-4)


@pytest.mark.parametrize('p', [1, 2])
@pytest.mark.parametrize('loss', [InheritanceLoss, ExplorationLoss])
def test_padding_does_not_count(loss, p):
    (ours,), (theirs,) = draw(0, SHAPES[:1]), draw(1, SHAPES[:1])
    alone = loss(p=p)((ours,), (theirs,))
    wide = [torch.nn.functional.pad(x, (0, 2, 0, 3)) for x in (ours, theirs)]
    mask = torch.zeros(3, 1, 7, 6, dtype=torch.bool)
    mask[..., :4, :4] = True
    padded = loss(p=p)((wide[0],), (wide[1],), (mask,))
    torch.testing.assert_close(padded, alone)
    ft = FactorTransferLoss()
    torch.testing.assert_close(
        ft((wide[0],), (wide[1],), (mask,)), ft((ours,), (theirs,))
    )


@NORMS
def test_larger_factor_is_pooled(p):
    (ours,), (theirs,) = draw(0, [(2, 3, 4, 4)]), draw(1, [(2, 3, 2, 2)])
    pooled = ours.reshape(2, 3, 2, 2, 2, 2).mean((3, 5))
    value = InheritanceLoss(p=p)((ours,), (theirs,))
    expected = inheritance_loss(pooled, theirs, p)
    torch.testing.assert_close(value, expected)
    value = ExplorationLoss(p=p)((theirs,), (ours,))
    expected = exploration_loss(theirs, pooled, p)
    torch.testing.assert_close(value, expected)


def test_ft_is_the_mean_gap_of_unit_factors():
    ours, theirs = draw(0), draw(1)
    expected = np.mean(
        [similarity(*level, 1)[0] for level in zip(ours, theirs)]
    )
    value = FactorTransferLoss(loss_weight=500.0)(ours, theirs)
    assert value.item() == pytest.approx(500 * expected, rel=1e-12)


def ofd_oracle(ours, theirs, margins):
    total = 0.0
    for level, (s, t, m) in enumerate(zip(ours, theirs, margins)):
        scale = 2.0 ** -(len(ours) - 1 - level)
        for n in range(len(s)):
            for c in range(s.shape[1]):
                for a, b in zip(s[n, c].flatten(), t[n, c].flatten()):
                    target = max(b.item(), m[c].item())
                    if a.item() > target or target > 0:
                        total += scale * (a.item() - target) ** 2
    return total / len(ours[0])


def test_ofd_weighs_its_levels():
    ours, theirs = draw(0), draw(1)
    margins = [-torch.rand(x.shape[1], dtype=x.dtype) for x in ours]
    value = OFDLoss(loss_weight=0.001)(ours, theirs, margins)
    expected = 0.001 * ofd_oracle(ours, theirs, margins)
    assert value.item() == pytest.approx(expected, rel=1e-12)
    with pytest.raises(UserError, match='ConvAdaptor'):
        OFDLoss()(ours[:1], theirs[1:], margins[1:])


def test_map_losses_take_their_half():
    ours, theirs = draw(0), draw(1)
    base = AttentionTransferLoss()(ours, theirs)
    inherit = InheritMapLoss(AT, loss_weight=3.0)
    explore = ExploreMapLoss(AT, loss_weight=3.0)
    assert inherit.fields().required == (
        'student_inherit_feats',
        'teacher_feats',
    )
    value = inherit(student_inherit_feats=ours, teacher_feats=theirs)
    torch.testing.assert_close(value, 3 * base)
    value = explore(student_explore_feats=ours, teacher_feats=theirs)
    torch.testing.assert_close(value, -3 * base)


@pytest.mark.parametrize('bound, moves', [(1e-6, False), (1e6, True)])
def test_exploration_of_what_is_unbounded_has_a_bound(bound, moves):
    ours, theirs = draw(0), draw(1)
    ours = [x.requires_grad_() for x in ours]
    margins = [-torch.rand(x.shape[1], dtype=x.dtype) for x in ours]
    loss = ExploreMapLoss(dict(type='OFDLoss'), bound=bound)
    value = loss(
        student_explore_feats=ours,
        teacher_feats=theirs,
        teacher_margins=margins,
    )
    value.backward()
    assert value >= -bound
    assert bool(ours[0].grad.abs().sum() > 0) == moves
    with pytest.raises(UserError, match='no upper bound'):
        ExploreMapLoss(dict(type='OFDLoss'))


def test_reconstruction_trains_the_auto_encoder_alone():
    decoded, maps = draw(0), draw(1)
    decoded = [x.requires_grad_() for x in decoded]
    maps = [x.requires_grad_() for x in maps]
    for p in (1, 2):
        value = ReconstructionLoss(p=p, loss_weight=2.0)(decoded, maps)
        expected = 2 * np.mean(
            [
                np.mean(np.abs((a - b).detach().numpy()) ** p)
                for a, b in zip(decoded, maps)
            ]
        )
        assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    assert decoded[0].grad is not None and maps[0].grad is None
    # cells in padding are no error of the auto-encoder
    mask = torch.zeros(3, 1, 4, 4, dtype=torch.bool)
    mask[..., :2, :] = True
    value = ReconstructionLoss()(decoded[:1], maps[:1], (mask,))
    gap = (decoded[0] - maps[0])[..., :2, :].abs().mean()
    assert value.item() == pytest.approx(gap.item(), rel=1e-5)


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: InheritanceLoss(p=3), "accepted are 1, 2 and 'cos'"),
        (lambda: InheritMapLoss(dict(type='KDLoss')), 'takes student_logits'),
        (lambda: ExploreMapLoss(AT, bound=0), 'above 0'),
        (lambda: InheritanceLoss()([], []), 'at least one'),
    ],
)
def test_refusals(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_and_empty_batch(dtype):
    ours, theirs = draw(0, dtype=dtype), draw(1, dtype=dtype)
    for loss in (InheritanceLoss(), ExplorationLoss(), FactorTransferLoss()):
        assert loss(ours, theirs).dtype == torch.float32
        none = [x[:0].clone().requires_grad_() for x in ours]
        value = loss(none, [x[:0] for x in theirs])
        value.backward()
        assert value == 0


@NORMS
@pytest.mark.parametrize('loss', [InheritanceLoss, ExplorationLoss])
def test_nothing_but_padding_and_no_image(loss, p):
    for count in (0, 2):
        mask = torch.zeros(count, 1, 2, 2, dtype=torch.bool)
        factor = torch.zeros(count, 3, 2, 2, requires_grad=True)
        value = loss(p)((factor,), (torch.zeros(count, 3, 2, 2),), (mask,))
        value.backward()
        assert value.isfinite() and factor.grad.isfinite().all()
        value = reconstruction([factor], [factor], [mask])
        assert value == 0 and reconstruction([factor], [factor]) == 0


@pytest.mark.parametrize(
    'loss', [InheritanceLoss, ExplorationLoss, ReconstructionLoss]
)
def test_a_negative_weight_is_refused(loss):
    """The sign is in the loss."""
    assert loss(loss_weight=0.0).loss_weight == 0
    with pytest.raises(UserError, match='loss_weight=-50.0'):
        loss(loss_weight=-50.0)
    half = dict(type='AttentionTransferLoss')
    for kind in (InheritMapLoss, ExploreMapLoss):
        with pytest.raises(UserError, match=f'{kind.__name__}: loss_weight'):
            kind(half, loss_weight=-1.0)
        with pytest.raises(UserError, match=f'base of {kind.__name__}'):
            kind(dict(half, loss_weight=-1.0))


def test_no_loss_hides_a_method_of_modules():
    kinds = [DistillLoss]
    for kind in kinds:
        kinds += kind.__subclasses__()
        for name in vars(kind).keys() & vars(nn.Module).keys():
            hidden = getattr(nn.Module, name)
            assert callable(getattr(kind, name)) or not callable(hidden)
    assert len(kinds) > 20
