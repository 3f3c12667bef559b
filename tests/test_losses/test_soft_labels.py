"""Mixed labels: a mixed centroid in ND, an error where a class is needed."""

import numpy as np
import pytest
import torch

from kd_det.errors import UserError
from kd_det.losses import FDRCosineLoss, FDRInfoNCELoss, NDLoss, SIFNLoss

N, K, D = 6, 4, 5


@pytest.fixture
def fields():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    labels = draw(N, K).exp()
    return dict(
        student_embed=draw(N, D).requires_grad_(),
        teacher_embed=draw(N, D) * 2,
        # of norms that differ by a lot
        centroids=draw(K, D) * torch.tensor([[1.0], [5.0], [0.1], [2.0]]),
        labels=labels / labels.sum(1, keepdim=True),
    )


def run(loss, fields):
    return loss(**{name: fields[name] for name in loss.fields().required})


def mixture(label, centroids):
    out = np.zeros(D)
    for share, centroid in zip(label, centroids):
        out += share * centroid
    return out


def nd(s, t, c):
    longer = max(np.sqrt(s @ s), np.sqrt(t @ t))
    return 1 - s @ c / np.sqrt(c @ c) / longer


def fdr(s, t, c):
    return 1 - s @ c / np.sqrt(c @ c) / np.sqrt(s @ s)


CASES = [(NDLoss, nd), (FDRCosineLoss, fdr)]
each_case = pytest.mark.parametrize(('kind', 'oracle'), CASES)
each_kind = pytest.mark.parametrize('kind', [kind for kind, _ in CASES])


@each_case
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
def test_oracle(fields, kind, oracle, dtype):
    centroids = fields['centroids'].numpy()
    expected = [
        oracle(s, t, mixture(y, centroids))
        for s, t, y in zip(
            fields['student_embed'].detach().numpy(),
            fields['teacher_embed'].numpy(),
            fields['labels'].numpy(),
        )
    ]
    fields['labels'] = fields['labels'].to(dtype)
    value = run(kind(loss_weight=1.5), fields)
    expected = 1.5 * np.mean(expected)
    assert value.item() == pytest.approx(expected, rel=1e-6)


@each_kind
def test_one_hot_labels_are_hard_labels(fields, kind):
    labels = torch.tensor([2, 0, 1, 3, 3, 2])
    hard = run(kind(), dict(fields, labels=labels))
    soft = run(kind(), dict(fields, labels=torch.eye(K)[labels]))
    torch.testing.assert_close(soft, hard)
    leaf = fields['student_embed']
    torch.testing.assert_close(
        torch.autograd.grad(soft, leaf), torch.autograd.grad(hard, leaf)
    )


def test_a_mixture_uses_the_centroids_as_they_are():
    """(8, 0) and (0, 6) in equal parts point to (4, 3), not to (1, 1)."""
    fields = dict(
        student_embed=torch.tensor([[4.0, 3.0]]),
        teacher_embed=torch.tensor([[10.0, 0.0]]),
        centroids=torch.tensor([[8.0, 0.0], [0.0, 6.0]]),
        labels=torch.tensor([[0.5, 0.5]]),
    )
    assert run(FDRCosineLoss(), fields).item() == pytest.approx(0, abs=1e-6)
    assert run(NDLoss(), fields).item() == pytest.approx(0.5)  # half the norm


@each_kind
def test_gradcheck(fields, kind):
    def value(leaf):
        return run(kind(), dict(fields, student_embed=leaf))

    assert torch.autograd.gradcheck(value, fields['student_embed'])


@each_kind
def test_empty_batch(fields, kind):
    leaf = fields['student_embed']
    empty = {
        name: x if name == 'centroids' else x[:0] for name, x in fields.items()
    }
    value = run(kind(), empty)
    value.backward()
    assert value == 0 and leaf.grad.abs().max() == 0


@each_kind
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_mixes_in_float32(fields, kind, dtype):
    fields['centroids'] = fields['centroids'].float()
    for name in ('student_embed', 'teacher_embed'):
        fields[name] = fields[name].detach().to(dtype)
    fields['student_embed'].requires_grad_()
    fields['labels'] = fields['labels'].float()
    with torch.autocast('cpu', dtype):
        value = run(kind(), fields)
    assert value.dtype == torch.float32
    full = {name: x.float() for name, x in fields.items()}
    torch.testing.assert_close(value, run(kind(), full), rtol=0, atol=0)
    value.backward()
    assert fields['student_embed'].grad.dtype == dtype


@each_kind
def test_labels_of_half_precision(fields, kind):
    fields['labels'] = fields['labels'].half()
    assert run(kind(), fields).isfinite()


@each_kind
def test_foreground_rows(fields, kind):
    foreground = torch.tensor([True, False, True, True, False, True])
    loss = kind(background='foreground')
    value = loss(
        **{name: fields[name] for name in loss.fields().required},
        foreground=foreground,
    )
    kept = {
        name: x if name == 'centroids' else x[foreground]
        for name, x in fields.items()
    }
    torch.testing.assert_close(value, run(kind(), kept))


@each_kind
def test_a_class_without_centroid(fields, kind):
    fields['centroids'][1] = 0
    with pytest.raises(UserError, match='but those of classes 1 are zero'):
        run(kind(), fields)
    fields['labels'][:, 1] = 0  # nobody needs it
    assert run(kind(), fields).isfinite()


@each_kind
def test_another_number_of_classes(fields, kind):
    fields['labels'] = fields['labels'][:, :-1]
    with pytest.raises(ValueError, match='labels of shape.*K = 3.*K = 4'):
        run(kind(), fields)


@pytest.mark.parametrize('loss', [FDRInfoNCELoss(), SIFNLoss(K)])
def test_losses_that_need_one_class(fields, loss):
    name = type(loss).__name__
    with pytest.raises(UserError, match=f'{name} needs one class per sample'):
        run(loss, fields)
