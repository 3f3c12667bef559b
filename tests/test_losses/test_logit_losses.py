"""KD, hard KD, DKD, NKD and DIST: the modules are their functions."""

import copy
import math

import numpy as np
import pytest
import torch

from kd_det import functional
from kd_det.errors import UserError
from kd_det.losses import (
    DISTLoss,
    DKDLoss,
    FDRInfoNCELoss,
    HardKDLoss,
    KDLoss,
    LogitLoss,
    NKDLoss,
    SigmoidKDLoss,
)

N, K = 7, 5


@pytest.fixture
def fields():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, N, K, generator=generator) * 2
    return dict(
        student_logits=student.requires_grad_(),
        teacher_logits=teacher,
        labels=torch.tensor([4, 0, 2, 2, 1, 3, 0]),
    )


def run(loss, fields):
    return loss(**{name: fields[name] for name in loss.fields().required})


def hard_kd(student, teacher, labels):
    """The cross-entropy with the teacher's class, sample by sample."""
    out = []
    for row, other in zip(student, teacher):
        best = max(range(K), key=lambda k: (other[k].item(), -k))
        out.append(row.exp().sum().log() - row[best])
    return torch.stack(out)


def kd(student, teacher, labels):
    return functional.kd_loss(student, teacher, 3.0)


def dkd(student, teacher, labels):
    return functional.dkd_loss(student, teacher, labels, 0.5, 2.0, 3.0)


def nkd(student, teacher, labels):
    return functional.nkd_loss(student, teacher, labels, 2.5, 3.0)


def nkd_published(student, teacher, labels):
    return functional.nkd_loss(student, teacher, labels, 1.5, 1.0, False)


def dist(student, teacher, labels):
    return functional.dist_loss(student, teacher, 2.0, 0.5, 3.0)


CASES = [
    (KDLoss(tau=3.0), kd),
    (HardKDLoss(), hard_kd),
    (DKDLoss(alpha=0.5, beta=2.0, tau=3.0), dkd),
    (NKDLoss(gamma=2.5, tau=3.0), nkd),
    (NKDLoss(mask_target=False), nkd_published),
    (DISTLoss(beta=2.0, gamma=0.5, tau=3.0), dist),  # none per sample
]
each_case = pytest.mark.parametrize(('loss', 'oracle'), CASES)
each_loss = pytest.mark.parametrize('loss', [loss for loss, _ in CASES])


@each_case
def test_module_is_function_times_weight_times_scale(fields, loss, oracle):
    loss = copy.copy(loss)
    loss.loss_weight, loss.scale = 1.5, 0.25
    expected = 1.5 * 0.25 * oracle(**rename(fields)).mean()
    value = run(loss, fields)
    torch.testing.assert_close(value, expected)
    leaf = fields['student_logits']
    torch.testing.assert_close(
        torch.autograd.grad(value, leaf), torch.autograd.grad(expected, leaf)
    )


def rename(fields):
    return {name.removesuffix('_logits'): x for name, x in fields.items()}


@pytest.mark.parametrize(('loss', 'oracle'), CASES[:-1])
def test_value_per_sample(fields, loss, oracle):
    value = loss.per_sample(*fields.values())
    torch.testing.assert_close(value, oracle(**rename(fields)))


def test_defaults_are_those_of_the_functions(fields):
    student, teacher, labels = fields.values()
    pairs = [
        (KDLoss(), functional.kd_loss(student, teacher)),
        (DKDLoss(), functional.dkd_loss(student, teacher, labels)),
        (NKDLoss(), functional.nkd_loss(student, teacher, labels)),
        (DISTLoss(), functional.dist_loss(student, teacher)),
    ]
    for loss, expected in pairs:
        assert torch.equal(run(loss, fields), expected.mean())


def test_who_can_be_the_base_of_sdd():
    kinds = [isinstance(loss, LogitLoss) for loss, _ in CASES]
    assert kinds == [True] * 5 + [False]


def test_who_asks_for_labels():
    both = ('student_logits', 'teacher_logits')
    for kind in (KDLoss, HardKDLoss, DISTLoss):
        assert kind.fields() == (both, ())
    for kind in (DKDLoss, NKDLoss):
        assert kind.fields() == ((*both, 'labels'), ())


class TestHardKD:
    def test_numpy(self, fields):
        student = fields['student_logits'].detach().numpy().astype(float)
        teacher = fields['teacher_logits'].numpy()
        total = 0
        for row, other in zip(student, teacher):
            shares = [math.exp(z) for z in row]
            total -= math.log(shares[np.argmax(other)] / sum(shares))
        value = run(HardKDLoss(), fields)
        assert value.item() == pytest.approx(total / N, rel=1e-5)

    def test_gradient(self, fields):
        student, teacher, _ = fields.values()
        run(HardKDLoss(), fields).backward()
        target = torch.eye(K)[teacher.argmax(1)]
        expected = (student.detach().softmax(1) - target) / N
        torch.testing.assert_close(student.grad, expected)

    def test_a_tie_is_the_first_class(self):
        student = torch.tensor([[0.0, 1.0, 3.0]])
        tied = torch.tensor([[0.0, 2.0, 2.0]])
        first = torch.tensor([[0.0, 9.0, 2.0]])
        loss = HardKDLoss()
        assert loss(student, tied) == loss(student, first)

    def test_scale_of_the_teacher_does_not_matter(self, fields):
        value = run(HardKDLoss(), fields)
        fields['teacher_logits'] = fields['teacher_logits'] * 30 - 4
        assert run(HardKDLoss(), fields) == value

    def test_shapes(self):
        with pytest.raises(ValueError, match='teacher_logits.*K = 4'):
            HardKDLoss()(torch.zeros(3, 5), torch.zeros(3, 4))


@each_loss
def test_gradcheck(fields, loss):
    student = fields['student_logits'].detach().double().requires_grad_()
    teacher = fields['teacher_logits'].double()

    def value(leaf):
        return run(loss, dict(fields, student_logits=leaf))

    fields['teacher_logits'] = teacher
    assert value(student).dtype == torch.float64
    assert torch.autograd.gradcheck(value, student)


@each_loss
def test_the_teacher_gets_no_gradient(fields, loss):
    fields['teacher_logits'].requires_grad_()
    run(loss, fields).backward()
    assert fields['teacher_logits'].grad is None
    assert fields['student_logits'].grad.abs().max() > 0


@each_loss
def test_empty_batch(fields, loss):
    leaf = fields['student_logits']
    value = run(loss, {name: x[:0] for name, x in fields.items()})
    assert value.shape == () and value == 0
    value.backward()
    assert leaf.grad.shape == (N, K) and leaf.grad.abs().max() == 0


@each_loss
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [True, False])
def test_half_inputs_give_float32(fields, loss, dtype, autocast):
    half = {
        name: x.detach().to(dtype) if x.is_floating_point() else x
        for name, x in fields.items()
    }
    half['student_logits'].requires_grad_()
    rounded = {
        name: x.float() if x.is_floating_point() else x
        for name, x in half.items()
    }
    with torch.autocast('cpu', dtype, enabled=autocast):
        value = run(loss, half)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, run(loss, rounded))
    value.backward()
    grad = half['student_logits'].grad
    assert grad.dtype == dtype and grad.isfinite().all()


@each_loss
def test_a_nan_shows(fields, loss):
    fields['student_logits'].data[2, 1] = math.nan
    assert run(loss, fields).isnan()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
@pytest.mark.parametrize('loss', [DKDLoss(), NKDLoss()])
def test_soft_labels_stop_what_needs_a_class(fields, loss, dtype):
    fields['labels'] = torch.full((N, K), 1 / K, dtype=dtype)
    with pytest.raises(UserError) as caught:
        run(loss, fields)
    message = str(caught.value)
    assert message.startswith(
        f'{type(loss).__name__} needs one class per sample, but got soft '
        f'labels (7, 5) of {dtype}; remove mixup'
    )
    assert message.count('. ') == 0


@pytest.mark.parametrize('loss', [DKDLoss(), NKDLoss()])
def test_labels_outside_the_classes(fields, loss):
    fields['labels'][3] = K
    with pytest.raises(ValueError, match=r'labels must lie in \[0, 5\)'):
        run(loss, fields)


ABOVE = 'a finite number above 0 is accepted'
FROM = 'a finite number, 0 or above, is accepted'


@pytest.mark.parametrize(
    ('kind', 'name', 'value', 'accepted'),
    [
        (kind, 'tau', value, ABOVE)
        for kind in (KDLoss, DKDLoss, NKDLoss, DISTLoss, FDRInfoNCELoss)
        for value in (0, -1.0, math.nan, math.inf, '4', None)
    ]
    + [
        (kind, name, value, FROM)
        for kind, name in (
            (DKDLoss, 'alpha'),
            (DKDLoss, 'beta'),
            (NKDLoss, 'gamma'),
            (DISTLoss, 'beta'),
            (DISTLoss, 'gamma'),
        )
        for value in (-0.5, math.nan, math.inf, '1', None)
    ]
    + [
        (NKDLoss, 'mask_target', value, 'accepted are True and False.')
        for value in ('False', None, 2)
    ],
)
def test_arguments_are_checked_at_the_build(kind, name, value, accepted):
    with pytest.raises(UserError) as caught:
        kind(**{name: value})
    start = f'{kind.__name__}: {name}={value!r}; '
    assert str(caught.value).startswith(start)
    assert accepted in str(caught.value)


def test_bounds_are_inside():
    assert DKDLoss(alpha=0, beta=0).beta == 0
    assert NKDLoss(gamma=0.0, mask_target=False).mask_target is False
    assert KDLoss(tau=1e-3).tau == 1e-3


def test_base_class_has_no_formula(fields):
    with pytest.raises(NotImplementedError):
        LogitLoss().per_sample(*fields.values())


def test_standardised_logits(fields):
    loss = KDLoss(tau=3.0, loss_weight=2.0, standardize=True)
    both = fields['student_logits'], fields['teacher_logits']
    expected = 2 * functional.kd_loss(*both, 3.0, True).mean()
    torch.testing.assert_close(run(loss, fields), expected)
    with pytest.raises(UserError, match="standardize='yes'; accepted are"):
        KDLoss(standardize='yes')
    with pytest.raises(TypeError, match='standardize'):
        SigmoidKDLoss(standardize=True)
