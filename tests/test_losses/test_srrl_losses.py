"""The losses of SRRL against loops; invariants Q; what they refuse."""

import math

import pytest
import torch
from torch.nn import functional as F

from kd_det import functional
from kd_det.errors import UserError
from kd_det.losses import FeatureMatchingLoss, SoftmaxRegressionLoss

N, C, K = 6, 7, 5
MODES = ('mse', 'ce', 'kl')


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def softmax(row):
    powers = [math.exp(value) for value in row]
    return [power / sum(powers) for power in powers]


def naive(student, teacher, mode):
    """Mean over the samples, number by number."""
    total = 0.0
    for ours, theirs in zip(student.tolist(), teacher.tolist()):
        if mode == 'mse':
            gaps = [(a - b) ** 2 for a, b in zip(ours, theirs)]
            total += sum(gaps) / len(gaps)
            continue
        if mode == 'bce':
            pairs = [
                [1 / (1 + math.exp(-value)) for value in pair]
                for pair in zip(ours, theirs)
            ]
            total -= sum(
                t * math.log(q) + (1 - t) * math.log(1 - q) for q, t in pairs
            )
            continue
        p, target = softmax(ours), softmax(theirs)
        total -= sum(t * math.log(q) for t, q in zip(target, p))
        if mode == 'kl':
            total += sum(t * math.log(t) for t in target)
    return total / len(student)


CASES = [(SoftmaxRegressionLoss(mode), mode) for mode in MODES]
CASES.append((FeatureMatchingLoss(), 'mse'))
each_case = pytest.mark.parametrize(('loss', 'mode'), CASES)
each_loss = pytest.mark.parametrize('loss', [loss for loss, _ in CASES])


@each_case
def test_oracle(loss, mode):
    student, teacher = 2 * draw(N, K), 2 * draw(N, K, seed=1)
    value = loss(student, teacher).item()
    assert value == pytest.approx(naive(student, teacher, mode), rel=1e-12)


@pytest.mark.parametrize('mode', MODES)
def test_module_is_function_times_weight_times_scale(mode):
    student, teacher = draw(N, K), draw(N, K, seed=1)
    loss = SoftmaxRegressionLoss(mode, loss_weight=4.0)
    loss.scale = 0.5
    per_sample = functional.softmax_regression_loss(student, teacher, mode)
    torch.testing.assert_close(loss(student, teacher), 2 * per_sample.mean())
    loss = FeatureMatchingLoss(loss_weight=10.0)
    per_sample = functional.feature_matching_loss(student, teacher)
    torch.testing.assert_close(loss(student, teacher), 10 * per_sample.mean())


def test_fields():
    fields = ('student_embed', 'teacher_embed')
    assert FeatureMatchingLoss.fields() == (fields, ())
    fields = ('cross_logits', 'teacher_logits')
    assert SoftmaxRegressionLoss.fields() == (fields, ())
    assert SoftmaxRegressionLoss().mode == 'mse'


def test_q1_of_maps_only_the_mean_counts():
    ours, theirs = draw(N, C, 4, 4), draw(N, C, 3, 5, seed=1)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    mixed = ours.flatten(2)[..., order].reshape(ours.shape)
    larger = ours.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = F.mse_loss(ours.mean((2, 3)), theirs.mean((2, 3)))
    for feature_map in (ours, mixed, larger):
        value = FeatureMatchingLoss()(
            feature_map.mean((2, 3)), theirs.mean((2, 3))
        )
        torch.testing.assert_close(value, expected)


class TestThroughTheTeachersLayer:
    weight, bias = draw(K, C), draw(K, seed=1)
    theirs = draw(N, C, seed=2)

    def loss(self, embed, bias=None):
        bias = self.bias if bias is None else bias
        return SoftmaxRegressionLoss()(
            F.linear(embed, self.weight, bias),
            F.linear(self.theirs, self.weight, bias),
        )

    def test_q2_null_space(self):
        """Equal logits do not need equal features."""
        null = torch.linalg.svd(self.weight).Vh[K:]
        ours = (self.theirs + 3 * draw(N, C - K, seed=3) @ null).detach()
        value = self.loss(ours.requires_grad_())
        value.backward()
        assert value < 1e-27 and ours.grad.abs().max() < 1e-13
        assert FeatureMatchingLoss()(ours, self.theirs) > 1

    def test_q3_gradient(self):
        ours = draw(N, C, seed=3).requires_grad_()
        self.loss(ours).backward()
        gram = self.weight.T @ self.weight
        expected = 2 / (N * K) * (ours - self.theirs) @ gram
        torch.testing.assert_close(ours.grad, expected)

    def test_q4_quadratic(self):
        way = draw(N, C, seed=3)
        once = self.loss(self.theirs + way)
        torch.testing.assert_close(self.loss(self.theirs + 3 * way), 9 * once)

    def test_q5_bounded_by_feature_matching(self):
        ours = draw(N, C, seed=3)
        largest = torch.linalg.matrix_norm(self.weight, 2)
        matched = FeatureMatchingLoss()(ours, self.theirs)
        assert self.loss(ours) <= largest**2 * C / K * matched

    def test_q6_bias(self):
        ours = draw(N, C, seed=3)
        torch.testing.assert_close(
            self.loss(ours), self.loss(ours, 0 * self.bias)
        )


def test_s2_shift_of_the_logits():
    student, teacher = draw(N, K), draw(N, K, seed=1)
    for mode in ('ce', 'kl'):
        loss = SoftmaxRegressionLoss(mode)
        torch.testing.assert_close(
            loss(student + 5, teacher), loss(student, teacher)
        )
    loss = SoftmaxRegressionLoss()
    assert loss(student + 5, teacher) > loss(student, teacher) + 10


def test_at_equality():
    logits = draw(N, K)
    assert SoftmaxRegressionLoss()(logits, logits) == 0
    assert SoftmaxRegressionLoss('kl')(logits, logits).abs() < 1e-15
    p = logits.softmax(1)
    entropy = -(p * p.log()).sum(1).mean()
    torch.testing.assert_close(
        SoftmaxRegressionLoss('ce')(logits, logits), entropy
    )


@each_loss
def test_gradcheck(loss):
    student = draw(N, K).requires_grad_()
    teacher = draw(N, K, seed=1)
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher), student)


@each_loss
def test_the_teacher_gets_no_gradient(loss):
    student = draw(N, K).requires_grad_()
    teacher = draw(N, K, seed=1).requires_grad_()
    loss(student, teacher).backward()
    assert student.grad.abs().max() > 0 and teacher.grad is None


@each_loss
def test_empty_batch(loss):
    student = torch.zeros(0, K, requires_grad=True)
    value = loss(student, torch.zeros(0, K))
    value.backward()
    assert value == 0 and student.grad.shape == (0, K)


@each_case
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_inputs_give_float32(loss, mode, dtype):
    student = draw(N, K).to(dtype).requires_grad_()
    teacher = draw(N, K, seed=1).to(dtype)
    with torch.autocast('cpu', dtype):
        value = loss(student, teacher)
    assert value.dtype == torch.float32
    expected = naive(student.detach(), teacher, mode)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    assert student.grad.dtype == dtype


def test_unknown_mode():
    with pytest.raises(UserError) as caught:
        SoftmaxRegressionLoss('msee')
    assert str(caught.value) == (
        "SoftmaxRegressionLoss: mode='msee'; accepted are 'mse', 'ce', "
        "'kl' and 'bce'; did you mean 'mse'?"
    )


@each_loss
def test_widths_differ(loss):
    with pytest.raises(ValueError, match='= 4, but .* = 5; make them agree'):
        loss(draw(N, 5), draw(N, 4))
