"""The modules are their functions; background policies; SIFN's memory."""

import copy

import numpy as np
import pytest
import torch

from kd_det import functional
from kd_det.errors import UserError
from kd_det.losses import (
    FDRCosineLoss,
    FDRInfoNCELoss,
    KDLoss,
    NDLoss,
    NormLoss,
    SIFNLoss,
)

N, K, D = 9, 4, 6  # the last class is the background


@pytest.fixture
def fields():
    torch.manual_seed(0)
    labels = torch.tensor([0, 1, 2, 3, 3, 3, 1, 0, 3])
    return dict(
        student_embed=torch.randn(N, D, requires_grad=True),
        teacher_embed=torch.randn(N, D) * 2,
        student_logits=torch.randn(N, K, requires_grad=True),
        teacher_logits=torch.randn(N, K) * 3,
        centroids=torch.randn(K, D),
        class_norms=torch.rand(K) * 4,
        labels=labels,
        foreground=labels < K - 1,
    )


def run(loss, fields):
    names = [*loss.fields().required, *loss.fields().optional]
    return loss(**{name: fields[name] for name in names})


# the oracles take all fields and a row mask
def kd(f, keep):
    return functional.kd_loss(f['student_logits'], f['teacher_logits'], 2.0)


def nd(f, keep):
    return functional.nd_loss(
        f['student_embed'][keep],
        f['teacher_embed'][keep],
        f['centroids'],
        f['labels'][keep],
    )


def nd_by_class(f, keep):
    rows = []
    for s, label in zip(f['student_embed'][keep], f['labels'][keep]):
        mean, norm = f['centroids'][label], f['class_norms'][label]
        longer = s.norm() if s.norm() > norm else norm
        rows.append(1 - s @ mean / mean.norm() / longer)
    return torch.stack(rows)


def norm(f, keep):
    return functional.norm_loss(
        f['student_embed'][keep], f['teacher_embed'][keep]
    )


def fdr_cosine(f, keep):
    return functional.fdr_cosine_loss(
        f['student_embed'][keep], f['centroids'], f['labels'][keep]
    )


def fdr_infonce(f, keep):
    centroids = f['centroids'] if keep.all() else f['centroids'][:-1]
    return functional.fdr_infonce_loss(
        f['student_embed'][keep], centroids, f['labels'][keep], 0.3
    )


MODULES = [
    (NDLoss, {}, nd),
    (NDLoss, dict(norm='class'), nd_by_class),
    (NormLoss, {}, norm),
    (FDRCosineLoss, {}, fdr_cosine),
    (FDRInfoNCELoss, dict(tau=0.3), fdr_infonce),
]


@pytest.mark.parametrize(('kind', 'args', 'oracle'), MODULES)
@pytest.mark.parametrize('background', ['all', 'foreground'])
def test_module_is_function_times_weight_times_scale(
    fields, kind, args, oracle, background
):
    loss = kind(**args, background=background, loss_weight=1.5)
    loss.scale = 0.25
    keep = fields['foreground']
    keep = keep if background == 'foreground' else torch.ones_like(keep)
    expected = 1.5 * 0.25 * oracle(fields, keep).mean()
    torch.testing.assert_close(run(loss, fields), expected)
    embed = fields['student_embed']
    torch.testing.assert_close(
        torch.autograd.grad(run(loss, fields), embed),
        torch.autograd.grad(expected, embed),
    )


def test_kd(fields):
    loss = KDLoss(tau=2.0, loss_weight=0.7)
    loss.scale = 3.0
    expected = 0.7 * 3 * kd(fields, None).mean()
    torch.testing.assert_close(run(loss, fields), expected)


@pytest.mark.parametrize(('kind', 'args', 'oracle'), MODULES)
def test_foreground_needs_no_background_mean(fields, kind, args, oracle):
    fields['centroids'][-1] = 0
    if 'centroids' in kind.fields().required:
        with pytest.raises(ValueError, match=r'classes 3 are zero'):
            run(kind(**args), fields)
    value = run(kind(**args, background='foreground'), fields)
    expected = oracle(fields, fields['foreground']).mean()
    torch.testing.assert_close(value, expected)
    value.backward()
    grad = fields['student_embed'].grad
    assert grad[~fields['foreground']].abs().max() == 0
    assert grad[fields['foreground']].abs().min() > 0


@pytest.mark.parametrize(('kind', 'args', 'oracle'), MODULES)
def test_first_class_has_no_mean_either(fields, kind, args, oracle):
    """A stand-in label of background rows is one that has a mean."""
    rows = fields['labels'] != 0
    for name in ('student_embed', 'teacher_embed', 'labels', 'foreground'):
        fields[name] = fields[name][rows]
    fields['centroids'][0] = 0
    fields['centroids'][-1] = 0
    value = run(kind(**args, background='foreground'), fields)
    expected = oracle(fields, fields['foreground']).mean()
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize(
    'loss',
    [
        KDLoss(),
        NDLoss(),
        NDLoss('foreground'),
        NormLoss('foreground'),
        FDRCosineLoss('foreground'),
        FDRInfoNCELoss(background='foreground'),
        SIFNLoss(K),
        SIFNLoss(K, background='foreground'),
    ],
)
@pytest.mark.parametrize('rows', ['none', 'background alone'])
def test_no_row_counts(fields, loss, rows):
    loss = copy.deepcopy(loss)  # SIFN remembers
    keep = ~fields['foreground']
    if rows == 'none':
        keep = torch.zeros_like(keep)
    leaf = fields['student_embed'], fields['student_logits']
    fields = {
        key: value if key in ('centroids', 'class_norms') else value[keep]
        for key, value in fields.items()
    }
    value = run(loss, fields)
    assert value.isfinite() and value.shape == ()
    if rows == 'none' or getattr(loss, 'background', '') == 'foreground':
        assert value == 0
    value.backward()
    assert all(x.grad is None or x.grad.isfinite().all() for x in leaf)
    assert any(x.grad is not None for x in leaf)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    'loss',
    [
        KDLoss(),
        NDLoss(),
        NDLoss('foreground'),
        NormLoss(),
        FDRCosineLoss(),
        FDRInfoNCELoss(),
        SIFNLoss(K),
    ],
)
def test_half_inputs_give_float32(fields, loss, dtype):
    full = run(copy.deepcopy(loss), fields)  # SIFN remembers
    loss = copy.deepcopy(loss)
    half = {
        key: value.detach().to(dtype).requires_grad_('student' in key)
        if value.is_floating_point() and key != 'centroids'
        else value
        for key, value in fields.items()
    }
    with torch.autocast('cpu', dtype):
        value = run(loss, half)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, full, rtol=0.05, atol=0.05)
    value.backward()
    for key in ('student_embed', 'student_logits'):
        grad = half[key].grad
        assert grad is None or (grad.dtype == dtype and grad.isfinite().all())


def test_policies(fields):
    with pytest.raises(UserError, match=r"background='fg'.*'foreground'"):
        NDLoss(background='fg')
    fields['foreground'] = None  # a classifier's
    with pytest.raises(UserError, match="use background='all'"):
        run(NDLoss('foreground'), fields)
    assert run(NDLoss(), fields).isfinite()


class Memory:
    """The mean norm of each class when it last occurred, in NumPy."""

    def __init__(self, step):
        self.step, self.norms = step, {}

    def __call__(self, embed, labels, keep):
        norms = np.sqrt((embed.astype(np.float64) ** 2).sum(1))
        values = []
        for norm_, label, kept in zip(norms, labels, keep):
            before = self.norms.get(label, norm_)
            if kept:
                values.append((norm_ - (before + self.step)) ** 2)
        for label in set(labels):
            self.norms[label] = norms[labels == label].mean()
        return np.mean(values)


@pytest.mark.parametrize('background', ['all', 'foreground'])
def test_sifn_against_the_oracle(background):
    rng = np.random.default_rng(0)
    loss = SIFNLoss(K, step=0.5, background=background)
    oracle = Memory(step=0.5)
    steps = [[0, 0, 1, 3], [1, 1, 2, 3, 3], [0, 2, 3], [2, 2, 2]]
    for labels in steps:
        embed = rng.normal(size=(len(labels), D)).astype(np.float32)
        labels = np.array(labels)
        keep = labels < K - 1 if background == 'foreground' else labels >= 0
        expected = oracle(embed, labels, keep)
        value = loss(
            torch.tensor(embed, requires_grad=True),
            torch.tensor(labels),
            torch.tensor(labels < K - 1),
        )
        assert value.item() == pytest.approx(expected, rel=1e-5)


def test_sifn_compares_with_itself_at_first():
    embed = torch.randn(5, D, requires_grad=True)
    loss = SIFNLoss(K, step=0.5, loss_weight=2.0)
    value = loss(embed, torch.tensor([0, 1, 1, 2, 3]))
    assert value.item() == pytest.approx(2 * 0.5**2)
    value.backward()  # the published gradient: -2 r s / |s| / N
    unit = embed.detach() / embed.detach().norm(dim=1, keepdim=True)
    torch.testing.assert_close(embed.grad, 2.0 * -2 * 0.5 * unit / 5)


def test_sifn_memory_is_no_part_of_the_graph():
    loss = SIFNLoss(K)
    embed = torch.randn(4, D, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3])
    for _ in range(2):  # a graph kept would stop the second backward
        loss(embed, labels).backward()
    assert not loss.previous_norms.requires_grad


def test_sifn_state_survives_a_checkpoint(tmp_path):
    labels = torch.tensor([0, 0, 2])
    first, second = torch.randn(3, D), torch.randn(3, D)
    loss = SIFNLoss(K)
    loss(first, labels)
    torch.save(loss.state_dict(), tmp_path / 'state.pth')
    other = SIFNLoss(K)
    state = torch.load(tmp_path / 'state.pth', weights_only=True)
    other.load_state_dict(state)
    assert torch.equal(loss(second, labels), other(second, labels))
    assert loss.previous_norms.isnan().tolist() == [False, True, False, True]


def test_sifn_does_not_remember_an_empty_batch():
    loss = SIFNLoss(K)
    loss(torch.randn(2, D), torch.tensor([0, 1]))
    before = loss.previous_norms.clone()
    loss(torch.zeros(0, D, requires_grad=True), torch.zeros(0).long())
    assert torch.equal(loss.previous_norms[:2], before[:2])
    assert loss.previous_norms[2:].isnan().all()


@pytest.mark.parametrize(
    'arguments',
    [
        *(dict(num_classes=n) for n in ('7', 7.0, -3, 0, True)),
        *(dict(step=s) for s in (float('nan'), float('inf'), 'a', None)),
    ],
    ids=str,
)
def test_sifn_arguments(arguments):
    (key,) = arguments
    with pytest.raises(UserError, match=f'SIFNLoss: {key}='):
        SIFNLoss(**dict(dict(num_classes=K), **arguments))


def test_sifn_without_a_number_of_classes():
    embed, labels = torch.randn(2, D), torch.tensor([0, 1])
    with pytest.raises(UserError, match='SIFNLoss has no num_classes'):
        SIFNLoss()(embed, labels)
