"""MGDLoss and MGDConnector: by hand, and equal to mmrazor's."""

import numpy as np
import pytest
import torch
from razor import draw, mmrazor_loss
from torch.nn import functional as F

from kd_det.compat import mmrazor as bridge
from kd_det.connectors import MGDConnector
from kd_det.errors import UserError
from kd_det.functional import mgd_loss
from kd_det.losses import MGDLoss

OURS, THEIRS = [3, 4], [5, 4]
SIZES = [(6, 8), (3, 4)]


def maps(channels, seed=0, images=2):
    return tuple(
        draw(images, c, *size, seed=seed + c)
        for c, size in zip(channels, SIZES)
    )


def connector(ratio=0.5, ours=OURS, theirs=THEIRS):
    torch.manual_seed(0)
    return MGDConnector(ours, theirs, ratio).double()


def test_eval_mode_is_two_convolutions():
    own, field, like = connector().eval(), maps(OURS), maps(THEIRS, 9)
    out = own(field, like)
    for level, (x, y) in enumerate(zip(field, out, strict=True)):
        align, (first, _, second) = own.align.levels[level], own.blocks[level]
        if level == 0:
            x = torch.einsum('nchw,dc->ndhw', x, align.weight[..., 0, 0])
            x = x + align.bias[:, None, None]
        hidden = convolve(x.detach().numpy(), first)
        expected = convolve(np.maximum(hidden, 0), second)
        np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-9)


def convolve(x, layer):
    """A 3x3 convolution with zero padding, position by position."""
    weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
    n, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((n, len(weight), height, width))
    for i in range(height):
        for j in range(width):
            window = padded[:, None, :, i : i + 3, j : j + 3]
            out[:, :, i, j] = (window * weight).sum((2, 3, 4)) + bias
    return out


def test_whole_positions_are_masked_with_the_ratio():
    """Seen through blocks that pass on what they get."""
    size = 100, 100
    own = connector(0.3, [2], [2])
    own.blocks[0] = torch.nn.Identity()
    x = 1 + draw(4, 2, *size).square()
    (y,) = own((x,), (x,))
    kept = y != 0
    assert torch.equal(y[kept], x[kept])
    assert torch.equal(kept[:, 0], kept[:, 1])
    # 40,000 positions: a standard deviation of 0.0023
    assert kept.double().mean().item() == pytest.approx(0.7, abs=0.01)
    again = own((x,), (x,))[0] != 0
    assert not torch.equal(again, kept)


def test_the_students_random_numbers_do_not_change():
    own, field = connector(), maps(OURS)
    torch.manual_seed(5)
    own(field, maps(THEIRS))
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), after)


def test_against_mmrazor():
    """The same weights, nothing masked, and the loss of each level."""
    own, field, like = connector(0.0), maps(OURS), maps(THEIRS, 9)
    theirs = bridge.parts(bridge.CONNECTORS)['MGDConnector']
    made = []
    for level, (x, channels) in enumerate(zip(field, THEIRS)):
        other = theirs(x.shape[1], channels, lambda_mgd=0.0).double()
        state = own.blocks[level].state_dict()
        other.generation.load_state_dict(state)
        if other.align is not None:
            other.align.load_state_dict(own.align.levels[level].state_dict())
        made.append(other.forward_train(x))
    ours = own(field, like)
    torch.testing.assert_close(ours, tuple(made))
    loss = mmrazor_loss('MGDLoss', alpha_mgd=3e-4)
    torch.testing.assert_close(
        MGDLoss(3e-4)(ours, like),
        loss(student_feats=tuple(made), teacher_feats=like),
    )


def test_module_is_function_times_weight_times_scale():
    ours, theirs = maps(THEIRS), maps(THEIRS, 9)
    loss = MGDLoss(loss_weight=6.0)
    loss.scale = 0.5
    expected = 3 * sum(mgd_loss(s, t).mean() for s, t in zip(ours, theirs))
    torch.testing.assert_close(loss(ours, theirs), expected)
    assert MGDLoss(0.0)(ours, theirs) == 0
    assert MGDLoss().loss_weight == 2e-5


def test_gradients():
    own, theirs = connector(), maps(THEIRS, 9)
    ours = [level.requires_grad_() for level in maps(OURS)]
    own.eval()
    assert torch.autograd.gradcheck(
        lambda *levels: MGDLoss(1.0)(own(levels, theirs), theirs), ours
    )
    own.train()
    teacher = [level.requires_grad_() for level in theirs]
    MGDLoss(1.0)(own(ours, teacher), teacher).backward()
    assert all(level.grad.abs().max() > 0 for level in ours)
    assert all(p.grad.abs().max() > 0 for p in own.parameters())
    assert all(level.grad is None for level in teacher)


def test_empty_batch():
    ours = [level.requires_grad_() for level in maps(OURS, images=0)]
    theirs = maps(THEIRS, images=0)
    value = MGDLoss()(connector()(ours, theirs), theirs)
    value.backward()
    assert value == 0
    assert all(level.grad.shape == level.shape for level in ours)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_inputs_give_float32(dtype):
    ours, theirs = (
        [level.to(dtype) for level in maps(THEIRS, seed)] for seed in (0, 9)
    )
    ours = [level.requires_grad_() for level in ours]
    value = MGDLoss(1.0)(ours, theirs)
    assert value.dtype == torch.float32
    full = MGDLoss(1.0)([x.float() for x in ours], [x.float() for x in theirs])
    torch.testing.assert_close(value, full)
    value.backward()
    assert all(level.grad.dtype == dtype for level in ours)


def test_another_size():
    """The connector resizes, as AlignConnector does; the loss refuses."""
    ours, theirs = maps(OURS), maps(THEIRS)
    larger = tuple(F.interpolate(level, scale_factor=2) for level in theirs)
    shapes = [level.shape for level in connector()(ours, larger)]
    assert shapes == [level.shape for level in larger]
    with pytest.raises(UserError, match='MGDLoss requires equal shapes'):
        MGDLoss()(theirs, larger)


@pytest.mark.parametrize('ratio', [1, -0.1, 'half', float('nan')])
def test_wrong_ratio(ratio):
    with pytest.raises(UserError, match='mask_ratio=.*a number in .0, 1. is'):
        MGDConnector([2], [2], ratio)
