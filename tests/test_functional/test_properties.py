"""What holds of each function for any input, by Hypothesis."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from property_table import CASES, FORMS, OTHERS, draw_case, noise, tensor

from kd_det import functional as F

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
SCALES = (1e-9, 1e-3, 1.0, 50.0, 1e6)
# function -> the first of its cases
NAMES = {name.split(',')[0]: name for name in reversed(CASES)}
few = settings(max_examples=20, deadline=None, derandomize=True)
sizes = st.fixed_dictionaries(
    dict(
        N=st.integers(0, 5),
        **dict.fromkeys('KRCHWGV', st.integers(2, 5)),
        **dict.fromkeys('DE', st.integers(1, 6)),
    )
)
inputs = st.fixed_dictionaries(
    dict(
        sizes=sizes,
        seed=st.integers(0, 999),
        dtype=st.sampled_from(DTYPES),
        scale=st.sampled_from(SCALES),
        forms=st.tuples(st.sampled_from(FORMS), st.sampled_from(FORMS)),
    )
)
plain = st.fixed_dictionaries(
    dict(
        sizes=sizes,
        seed=st.integers(0, 999),
        dtype=st.just(torch.float64),
        scale=st.just(1.0),
        forms=st.just(('any', 'any')),
    )
)


def along(shape, axes):
    return [1 if i in axes else n for i, n in enumerate(shape)]


def test_every_function_is_here():
    assert {*NAMES, *OTHERS} == {*F.__all__}


@pytest.mark.parametrize('name', CASES)
@few
@given(inputs)
def test_losses(name, drawn):
    """Finite in, finite out, and so is the gradient; never too small."""
    case = CASES[name]
    student, teacher, labels = draw_case(case, drawn)
    student.requires_grad_()
    teacher.requires_grad_()
    loss = case.call(student, teacher, labels)
    wide = torch.promote_types(student.dtype, torch.float32)
    assert loss.shape == (() if case.scalar else (len(labels),))
    assert loss.dtype == wide and loss.isfinite().all()
    assert len(labels) or not loss.any()
    if student.dtype == torch.float16:  # a gradient may be above its 65,504
        student = student.detach().float().requires_grad_()
        loss = case.call(student, teacher, labels)
    grad, none = torch.autograd.grad(
        loss.sum(), (student, teacher), allow_unused=True
    )
    assert grad.shape == student.shape and grad.isfinite().all()
    assert none is None  # the teacher is detached
    ends = torch.cat([student.detach().flatten(), teacher.detach().flatten()])
    largest = ends.double().abs().max() if len(ends) else 0
    rounding = 1000 * (1 + largest) * torch.finfo(wide).eps
    assert (loss >= case.least - rounding).all()


@pytest.mark.parametrize('name', CASES)
@few
@given(plain)
def test_what_changes_nothing(name, drawn):
    """The order of the samples; a shift, a factor; a student that is equal."""
    case = CASES[name]
    student, teacher, labels = draw_case(case, drawn)
    loss = case.call(student, teacher, labels)

    def check(other, expected):
        torch.testing.assert_close(other, expected, rtol=1e-6, atol=1e-7)

    order = noise(len(labels), seed=drawn['seed']).argsort()
    if 'masked' not in name:  # the masks are not moved
        moved = case.call(student[order], teacher[order], labels[order])
        check(moved, loss if case.scalar else loss[order])
    if case.shift:
        added = noise(*along(student.shape, case.shift), seed=1) * 9
        check(case.call(student + added, teacher, labels), loss)
    if case.scale:
        factor = noise(*along(student.shape, case.scale), seed=2).exp()
        check(case.call(student * factor, teacher, labels), loss)
    if case.same is not None and len(labels):
        equal = case.call(student, student.clone(), labels)
        check(equal, torch.full_like(equal, case.same))


def wrong_inputs(case, student, teacher, labels):
    """Inputs that no function may accept, each with what is wrong."""
    yield 'an axis less', student[..., 0], teacher, labels
    yield 'an axis more', student[None], teacher, labels
    yield 'whole numbers', student.long(), teacher, labels
    yield 'complex', student.to(torch.complex64), teacher, labels
    if case.other != '':
        yield 'teacher of other samples', student, teacher[1:], labels
    if case.other is None:
        wider = torch.cat([teacher, teacher[..., :1]], -1)
        yield 'wider teacher', student, wider, labels
    if case.labels:
        yield 'labels of other samples', student, teacher, labels[1:]
        yield 'labels out of range', student, teacher, labels + 99
        yield 'negative labels', student, teacher, labels - 9
        yield 'labels of another type', student, teacher, labels.double()


@pytest.mark.parametrize('name', NAMES)
def test_refusals(name):
    """One plain sentence that names an argument."""
    case = CASES[NAMES[name]]
    arguments = [*inspect.signature(getattr(F, name)).parameters]
    sizes = dict(N=3, **dict.fromkeys('KRCHWGVDE', 4))
    drawn = dict(
        sizes=sizes,
        seed=0,
        dtype=torch.float32,
        scale=1.0,
        forms=('any', 'any'),
    )
    for what, *values in wrong_inputs(case, *draw_case(case, drawn)):
        with pytest.raises((ValueError, TypeError)) as caught:
            case.call(*values)
            pytest.fail(f'accepted: {what}')
        text = str(caught.value)
        assert '\n' not in text and text.endswith('.'), text
        assert any(argument in text for argument in arguments), (what, text)


@pytest.mark.parametrize(
    'mask', [torch.ones(2, 4, 4) > 0, torch.ones(2, 1, 4, 4), [True]]
)
def test_masks_that_do_not_fit(mask):
    student, teacher = noise(2, 2, 3, 4, 4)
    for call in (
        F.cwd_loss,
        F.fgd_attention_loss,
        lambda s, t, mask: F.fgd_focal_loss(s, t, s[:, 0], mask=mask),
    ):
        with pytest.raises((ValueError, TypeError), match='^mask must '):
            call(student, teacher, mask=mask)


@few
@given(inputs)
def test_class_means(drawn):
    embeddings = tensor('N D', drawn['forms'][0], drawn['seed'], drawn)
    labels = noise(len(embeddings), seed=1).abs().mul(9).long() % 4
    means, counts = F.class_centroids(embeddings, labels, 4)
    assert means.dtype == torch.float32 and counts.dtype == torch.int64
    assert means.isfinite().all() and not means[counts == 0].any()
    assert counts.tolist() == [int((labels == k).sum()) for k in range(4)]
    order = noise(len(labels), seed=2).argsort()
    other, _ = F.class_centroids(embeddings[order], labels[order], 4)
    torch.testing.assert_close(other, means)


@few
@given(inputs)
def test_cka(drawn):
    """In [0, 1]; 1 for the same up to a rotation, a factor and a shift."""
    x, y = (
        tensor(k, form, drawn['seed'], drawn).requires_grad_()
        for k, form in zip(('N D', 'N E'), drawn['forms'])
    )
    for debiased in (False,) if len(x) < 4 else (False, True):
        value = F.linear_cka(x, y, debiased)
        assert value.shape == () and value.isfinite()
        assert debiased or -1e-6 <= value <= 1 + 1e-6
        for grad in torch.autograd.grad(value, (x, y)):
            assert grad.isfinite().all()
    whole = noise(6, drawn['sizes']['D'], seed=drawn['seed'])
    turn = torch.linalg.qr(noise(*[whole.shape[1]] * 2, seed=3))[0]
    alike = F.linear_cka(whole, 3 * whole @ turn + 5)
    torch.testing.assert_close(alike, alike.new_ones(()))


@few
@given(inputs)
def test_region_pool(drawn):
    maps = tensor('N C H W', drawn['forms'][0], drawn['seed'], drawn)
    cells = F.region_pool(maps.requires_grad_())
    assert cells.shape == (*maps.shape[:2], 21) and cells.isfinite().all()
    (grad,) = torch.autograd.grad(cells.sum(), maps)
    assert grad.isfinite().all()
    low, high = (f((2, 3))[..., None] for f in (maps.amin, maps.amax))
    rounding = 1e-5 * maps.abs().amax((2, 3))[..., None]
    assert (cells >= low - rounding).all() and (cells <= high + rounding).all()


@few
@given(inputs)
def test_region_weights(drawn):
    logits = tensor('N K R', drawn['forms'][0], drawn['seed'], drawn)
    labels = torch.zeros(len(logits), dtype=torch.long)
    for split in ('code', 'paper'):
        weights = F.sdd_weights(logits, labels, 3.0, split)
        assert ((weights == 1) | (weights == 3)).all()
        assert (weights[:, 0] == 1).all()
        torch.testing.assert_close(
            F.sdd_weights(logits.flip(0), labels, 3.0, split), weights.flip(0)
        )


@few
@given(inputs)
def test_margins(drawn):
    weight, bias = (
        tensor('C', form, drawn['seed'] + n, drawn)
        for n, form in enumerate(drawn['forms'])
    )
    margin = F.ofd_margin(weight, bias)
    assert margin.isfinite().all() and (margin <= 0).all()
    torch.testing.assert_close(F.ofd_margin(-weight, bias), margin)


@few
@given(inputs)
def test_recall(drawn):
    drawn['sizes']['N'] += 2
    embeddings = tensor('N D', drawn['forms'][0], drawn['seed'], drawn)
    labels = noise(len(embeddings), seed=1).abs().mul(3).long()
    ks = [*range(1, len(embeddings))]
    recall = F.recall_at_k(embeddings, labels, ks)
    values = [recall[k] for k in ks]
    assert values == sorted(values) and 0 <= values[0] <= values[-1] <= 1
    others = [(labels == y).sum() > 1 for y in labels]
    assert values[-1] == sum(others) / len(others)
    assert F.recall_at_k(embeddings, labels - 99, ks) == recall
