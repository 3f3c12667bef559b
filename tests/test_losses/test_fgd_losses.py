"""The three losses of FGD: by hand, their weights, what they refuse."""

import math

import numpy as np
import pytest
import torch
from mmcv.cnn.bricks import ContextBlock
from razor import draw

from kd_det.errors import UserError
from kd_det.functional import fgd_attention_loss, fgd_focal_loss
from kd_det.losses import FGDAttentionLoss, FGDFocalLoss, FGDGlobalLoss
from kd_det.losses.global_context import GlobalContext

CHANNELS = [4, 6]
SIZES = [(6, 8), (3, 4)]


def maps(seed=0, images=2):
    return tuple(
        draw(images, c, *size, seed=seed + c)
        for c, size in zip(CHANNELS, SIZES)
    )


def some_areas(images=2):
    areas = [torch.zeros(images, *s, dtype=torch.float64) for s in SIZES]
    for level in areas:
        level[:, :2, 1:3] = 4
    return areas


def some_masks(images=2):
    masks = [torch.ones(images, 1, *s, dtype=torch.bool) for s in SIZES]
    for mask in masks:
        mask[:1, :, :, -1:] = False
    return masks


def global_loss(weight=1.0):
    """One whose blocks have something to say."""
    torch.manual_seed(0)
    loss = FGDGlobalLoss(weight)
    loss.build_weights(CHANNELS)
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.5)
    return loss.double()


def losses():
    """Name -> a loss as a function of both maps and of masks."""
    focal, attention, context = (
        FGDFocalLoss(0.3, 0.2),
        FGDAttentionLoss(loss_weight=1.0),
        global_loss(),
    )
    return dict(
        focal=lambda s, t, m=None: focal(s, t, some_areas(len(s[0])), m),
        attention=attention,
        context=context,
    )


NAMES = pytest.mark.parametrize('name', ['focal', 'attention', 'context'])


def test_modules_are_functions_times_weight_times_scale():
    s, t, areas, masks = maps(), maps(9), some_areas(), some_masks()
    focal = FGDFocalLoss(0.3, 0.2, 0.7, loss_weight=6.0)
    attention = FGDAttentionLoss(0.7, loss_weight=6.0)
    focal.scale = attention.scale = 0.5
    levels = [*zip(s, t, areas, masks)]
    expected = sum(
        fgd_focal_loss(a, b, c, 0.3, 0.2, 0.7, m).mean()
        for a, b, c, m in levels
    )
    torch.testing.assert_close(focal(s, t, areas, masks), 3 * expected)
    expected = sum(
        fgd_attention_loss(a, b, 0.7, m).mean() for a, b, _, m in levels
    )
    torch.testing.assert_close(attention(s, t, masks), 3 * expected)


def context_by_hand(x, block, mask):
    """The block for one image (C, H, W), position by position."""
    x = x.numpy()
    weight, bias = (
        p.detach().numpy().reshape(len(p), -1)
        for p in (block.attention.weight, block.attention.bias)
    )
    height, width = x.shape[1:]
    score = {
        (i, j): math.exp(weight[0] @ x[:, i, j] + bias[0, 0])
        for i in range(height)
        for j in range(width)
        if mask[0, i, j]
    }
    context = sum(
        value / sum(score.values()) * x[:, i, j]
        for (i, j), value in score.items()
    )
    first, norm, _, second = block.transform
    hidden = first.weight.detach().numpy()[..., 0, 0] @ context
    hidden = hidden + first.bias.detach().numpy()
    hidden = (hidden - hidden.mean()) / math.sqrt(hidden.var() + norm.eps)
    hidden = hidden * norm.weight.detach().numpy().ravel()
    hidden = np.maximum(hidden + norm.bias.detach().numpy().ravel(), 0)
    added = second.weight.detach().numpy()[..., 0, 0] @ hidden
    added = added + second.bias.detach().numpy()
    return x + added[:, None, None]


def test_global_loss_by_hand():
    loss, s, t, masks = global_loss(3.0), maps(), maps(9), some_masks()
    expected = 0.0
    for level, mask in enumerate(masks):
        blocks = loss.student_blocks[level], loss.teacher_blocks[level]
        for n in range(2):
            ours, theirs = (
                context_by_hand(side[level][n], block, mask[n])
                for side, block in zip((s, t), blocks)
            )
            gap = (ours - theirs) ** 2 * mask[n].numpy()
            expected += 3.0 * gap.sum() / 2
    value = loss(s, t, masks).item()
    assert value == pytest.approx(expected, rel=1e-9)


def test_context_against_mmcv():
    """MMCV's block has the same layers in another arrangement."""
    ours, theirs = GlobalContext(6).double(), ContextBlock(6, 0.5).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn_like(parameter))
    ours.attention.load_state_dict(theirs.conv_mask.state_dict())
    ours.transform.load_state_dict(theirs.channel_add_conv.state_dict())
    x = draw(2, 6, 3, 4)
    torch.testing.assert_close(ours(x), theirs(x))


def test_context_starts_as_the_identity():
    x = draw(2, 6, 3, 4)
    assert torch.equal(GlobalContext(6).double()(x), x)


def test_both_sides_have_weights_of_their_own():
    loss, s, t = global_loss(), maps(), maps(9)
    for level in (*s, *t):
        level.requires_grad_()
    loss(s, t).backward()
    for name, weight in loss.named_parameters():
        if not name.endswith('attention.bias'):  # a softmax ignores it
            assert weight.grad.any(), name
    assert all(level.grad is None for level in t)
    assert all(level.grad.abs().max() > 0 for level in s)
    assert {key.split('.')[0] for key in loss.state_dict()} == {
        'student_blocks',
        'teacher_blocks',
    }


@NAMES
def test_gradcheck(name):
    loss, t, masks = losses()[name], maps(9), some_masks()
    leaves = [level.requires_grad_() for level in maps()]
    assert torch.autograd.gradcheck(
        lambda *levels: loss(levels, t, masks), leaves
    )


@NAMES
def test_empty_batch(name):
    s = [level.requires_grad_() for level in maps(images=0)]
    value = losses()[name](s, maps(9, images=0))
    value.backward()
    assert value == 0
    assert all(level.grad.shape == level.shape for level in s)


@NAMES
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_inputs_give_float32(name, dtype):
    loss = losses()[name]
    s, t = ([x.to(dtype) for x in maps(seed)] for seed in (0, 9))
    s = [level.requires_grad_() for level in s]
    if name == 'context':
        loss = loss.float()
    with torch.autocast('cpu', dtype):
        value = loss(s, t)
    assert value.dtype == torch.float32
    full = loss([x.float() for x in s], [x.float() for x in t])
    close = dict(rtol=2e-2, atol=0) if name == 'context' else {}
    torch.testing.assert_close(value, full, check_dtype=False, **close)
    value.backward()
    assert all(level.grad.dtype == dtype for level in s)


@NAMES
def test_shapes_that_differ(name):
    s = maps()
    for other in (s[:1], [s[0], s[1][..., :1]], [s[0], s[1][:, :1]]):
        with pytest.raises(UserError, match='requires equal shapes'):
            losses()[name](s, other)


def test_weights_of_zero():
    s, t = maps(), maps(9)
    assert FGDFocalLoss(loss_weight=0.0)(s, t, some_areas()) == 0
    assert FGDFocalLoss(0.0, 0.0)(s, t, some_areas()) == 0
    assert FGDAttentionLoss(loss_weight=0.0)(s, t) == 0
    assert global_loss(0.0)(s, t) == 0


def test_a_global_loss_without_weights():
    with pytest.raises(UserError, match='blocks for 0 levels, but got 2'):
        FGDGlobalLoss()(maps(), maps(9))


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: FGDFocalLoss(alpha=-1), 'FGDFocalLoss: alpha=-1'),
        (lambda: FGDFocalLoss(beta=float('nan')), 'FGDFocalLoss: beta=nan'),
        (lambda: FGDFocalLoss(tau=0), 'FGDFocalLoss: tau=0'),
        (lambda: FGDAttentionLoss(tau=0), 'FGDAttentionLoss: tau=0'),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(UserError, match=message):
        make()
