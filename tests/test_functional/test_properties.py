"""What holds of the losses for any input, by Hypothesis."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kd_det import functional as F

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LOGITS = {
    'kd': lambda s, t, y: F.kd_loss(s, t, 2.0),
    'dkd': F.dkd_loss,
    'nkd': F.nkd_loss,
}
EMBEDDINGS = {
    'norm': F.norm_loss,
    'srrl': F.feature_matching_loss,
}
few = settings(max_examples=25, deadline=None, derandomize=True)
cases = st.tuples(
    st.integers(0, 5),  # samples
    st.integers(2, 6),  # classes or width
    st.integers(0, 999),  # seed
    st.sampled_from(DTYPES),
    st.sampled_from((1e-3, 1.0, 50.0)),  # scale
)


def draw(case):
    """Student, teacher and labels."""
    samples, width, seed, dtype, scale = case
    generator = torch.Generator().manual_seed(seed)
    pair = torch.randn(2, samples, width, generator=generator) * scale
    student, teacher = pair.to(dtype)
    labels = torch.randint(width, (samples,), generator=generator)
    return student.requires_grad_(), teacher, labels


def check(loss, student, shape):
    wide = torch.float64 if student.dtype == torch.float64 else torch.float32
    assert loss.shape == shape and loss.dtype == wide
    assert loss.isfinite().all()
    (grad,) = torch.autograd.grad(loss.sum(), student)
    assert grad.shape == student.shape and grad.isfinite().all()


@pytest.mark.parametrize('name', LOGITS)
@few
@given(cases)
def test_logits(name, case):
    student, teacher, labels = draw(case)
    check(LOGITS[name](student, teacher, labels), student, (len(labels),))


@few
@given(cases)
def test_kd_is_a_divergence(case):
    student, teacher, _ = draw(case)
    loss = F.kd_loss(student, teacher, 2.0)
    assert (loss >= -1e-4).all()
    assert (F.kd_loss(student, student.detach(), 2.0).abs() < 1e-4).all()


@pytest.mark.parametrize('name', EMBEDDINGS)
@few
@given(cases)
def test_embeddings(name, case):
    student, teacher, labels = draw(case)
    loss = EMBEDDINGS[name](student, teacher)
    check(loss, student, (len(labels),))
    assert (loss >= 0).all()
    assert not EMBEDDINGS[name](student, student.detach()).any()


@few
@given(cases)
def test_class_means(case):
    student, teacher, labels = draw(case)
    width = student.shape[1]
    means, counts = F.class_centroids(teacher, labels, width)
    assert means.dtype == torch.float32 and counts.dtype == torch.int64
    assert counts.tolist() == [int((labels == k).sum()) for k in range(width)]
    assert not means[counts == 0].any()
    means = means + torch.eye(width)  # no needed one is zero
    check(F.nd_loss(student, teacher, means, labels), student, labels.shape)
    loss = F.fdr_cosine_loss(student, means, labels)
    check(loss, student, labels.shape)
    assert ((loss >= -1e-5) & (loss <= 2 + 1e-5)).all()


@few
@given(cases)
def test_region_pool(case):
    samples, width, seed, dtype, _ = case
    generator = torch.Generator().manual_seed(seed)
    size = samples, width, 4, 8
    maps = torch.rand(size, generator=generator).to(dtype)
    cells = F.region_pool(maps)
    assert cells.shape == (samples, width, 21)
    torch.testing.assert_close(  # windows of equal size
        cells[..., 5:].mean(-1), cells[..., 0], atol=0.01, rtol=0.01
    )
