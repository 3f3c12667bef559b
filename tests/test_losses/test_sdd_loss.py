"""SDDLoss against loops over samples and regions, and the invariants S."""

import math

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from kd_det.errors import UserError
from kd_det.functional import region_pool
from kd_det.losses import DKDLoss, HardKDLoss, KDLoss, NKDLoss, SDDLoss
from kd_det.registry import MODELS

N, K, R = 6, 4, 5
TAU = 2.0


def draw(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def batch():
    student = draw(N, K, R, seed=0).requires_grad_()
    return student, draw(N, K, R, seed=1), torch.tensor([0, 3, 1, 1, 2, 0])


def softmax(z):
    shares = [math.exp(value) for value in z]
    return [share / sum(shares) for share in shares]


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q))


def kd(s, t, y):
    return TAU**2 * kl(softmax(t / TAU), softmax(s / TAU))


def hard_kd(s, t, y):
    return -math.log(softmax(s)[int(np.argmax(t))])


def dkd(s, t, y):
    s, t = s / TAU, t / TAU
    p, q = softmax(s)[y], softmax(t)[y]
    target = kl([q, 1 - q], [p, 1 - p])
    rest = kl(softmax(np.delete(t, y)), softmax(np.delete(s, y)))
    return TAU**2 * (0.5 * target + 3 * rest)


def nkd(s, t, y):
    first = -softmax(t)[y] * math.log(softmax(s)[y])
    q_t = softmax(np.delete(t, y) / TAU)
    q_s = softmax(np.delete(s, y) / TAU)
    cross = -sum(a * math.log(b) for a, b in zip(q_t, q_s))
    return first + 1.5 * TAU**2 * cross


BASES = [
    (dict(type='KDLoss', tau=TAU), kd),
    (dict(type='HardKDLoss'), hard_kd),
    (dict(type='DKDLoss', alpha=0.5, beta=3.0, tau=TAU), dkd),
    (dict(type='NKDLoss', gamma=1.5, tau=TAU), nkd),
]
each_base = pytest.mark.parametrize('base', [base for base, _ in BASES])


def naive(student, teacher, labels, oracle, beta, split):
    """Every sample, every region, by itself."""
    student, teacher = student.detach().numpy(), teacher.numpy()
    total = 0
    for s, t, y in zip(student, teacher, labels.tolist()):
        for r in range(R):
            whole, local = np.argmax(t[:, 0]), np.argmax(t[:, r])
            if split == 'code':
                consistent = (whole == y) == (local == y)
            else:
                consistent = whole == local
            weight = 1 if consistent else beta
            total += weight * oracle(s[:, r], t[:, r], y) / (N * R)
    return total


@pytest.mark.parametrize(('base', 'oracle'), BASES)
@pytest.mark.parametrize('split', ['code', 'paper'])
@pytest.mark.parametrize('beta', [0.0, 2.0, 3.5])
def test_oracle(batch, base, oracle, split, beta):
    loss = SDDLoss(base, beta=beta, split=split, loss_weight=0.9)
    loss.scale = 0.5
    expected = 0.45 * naive(*batch, oracle, beta, split)
    assert loss(*batch).item() == pytest.approx(expected, rel=1e-9)


def test_both_kinds_of_regions_add_up(batch):
    """The mean over all regions is that over each kind, the other at 0."""
    base = BASES[0][0]
    both = SDDLoss(base, beta=3.0, consistent=0.5)(*batch)
    ours = SDDLoss(base, beta=0.0, consistent=0.5)(*batch)
    others = SDDLoss(base, beta=3.0, consistent=0.0)(*batch)
    torch.testing.assert_close(both, ours + others)
    assert min(ours, others) > 0


def test_the_splits_differ_here(batch):
    """Else the test above would not tell them apart."""
    code = SDDLoss(BASES[0][0])(*batch)
    paper = SDDLoss(BASES[0][0], split='paper')(*batch)
    plain = SDDLoss(BASES[0][0], beta=1.0)(*batch)
    assert len({code.item(), paper.item(), plain.item()}) == 3


def test_defaults(batch):
    loss = SDDLoss(dict(type='DKDLoss'))
    same = SDDLoss(
        dict(type='DKDLoss', alpha=1.0, beta=8.0, tau=4.0),
        beta=2.0,
        split='code',
        loss_weight=1.0,
    )
    assert torch.equal(loss(*batch), same(*batch))


def plain(base, student, teacher, labels):
    """The base as a loss of its own."""
    module = MODELS.build(dict(base, _scope_='kd_det'))
    return module.mean(module.per_sample(student, teacher, labels))


@each_base
def test_s1_one_region_is_the_base(batch, base):
    student, teacher, labels = batch
    loss = SDDLoss(base)(student[..., :1], teacher[..., :1], labels)
    expected = plain(base, student[..., 0], teacher[..., 0], labels)
    torch.testing.assert_close(loss, expected)


@each_base
def test_s2_beta_one_is_the_base_on_all_regions(batch, base):
    student, teacher, labels = batch
    flat = [x.transpose(1, 2).reshape(-1, K) for x in (student, teacher)]
    expected = plain(base, *flat, labels.repeat_interleave(R))
    torch.testing.assert_close(SDDLoss(base, beta=1.0)(*batch), expected)


def regions_of(predictions):
    """Teacher logits (N, K, R) that predict these classes (N, R)."""
    predictions = torch.tensor(predictions)
    best = torch.nn.functional.one_hot(predictions, K) * 20
    return (draw(*predictions.shape, K, seed=3) + best).transpose(1, 2)


@each_base
@pytest.mark.parametrize(
    'predictions',
    [[[0] * R, [3] * R], [[1, 2, 3, 2, 1], [0, 1, 2, 0, 1]]],
    ids=['all right', 'all wrong'],
)
def test_s3_all_right_or_all_wrong_is_plain(base, predictions):
    args = draw(2, K, R, seed=0), regions_of(predictions)
    args = *args, torch.tensor([0, 3])
    assert torch.equal(SDDLoss(base)(*args), SDDLoss(base, beta=1.0)(*args))


@each_base
def test_s4_image_right_and_all_cells_wrong(base):
    student, labels = draw(1, K, R, seed=0), torch.tensor([0])
    teacher = regions_of([[0, 1, 1, 2, 3]])
    each = [
        plain(base, student[..., r], teacher[..., r], labels) for r in range(R)
    ]
    expected = (each[0] + 2 * sum(each[1:])) / R
    torch.testing.assert_close(
        SDDLoss(base)(student, teacher, labels), expected
    )


def test_s9_equal_logits(batch):
    student, _, labels = batch
    for base in ('KDLoss', 'DKDLoss'):
        loss = SDDLoss(dict(type=base))(student, student.clone(), labels)
        assert abs(loss.item()) < 1e-12


@each_base
def test_s13_two_by_two_maps(base):
    """Scale 4 of a 2x2 map repeats its cells: a weight of 5, not a scale."""
    maps = draw(N, K, 2, 2, seed=0), draw(N, K, 2, 2, seed=1)
    labels = torch.arange(N) % K
    loss = SDDLoss(base)(*map(region_pool, maps), labels)
    student, teacher = (region_pool(x, (1, 2)) for x in maps)
    whole = plain(base, student[..., 0], teacher[..., 0], labels)
    both = SDDLoss(base)(student, teacher, labels)
    cells = R * both - whole  # weighted sum over the four cells
    torch.testing.assert_close(loss, (whole + 5 * cells) / 21)


@each_base
def test_s14_constant_maps_are_the_base(base):
    student, teacher = draw(N, K, 1, seed=0), draw(N, K, 1, seed=1)
    labels = torch.arange(N) % K
    loss = SDDLoss(base)(
        student.expand(-1, -1, R), teacher.expand(-1, -1, R), labels
    )
    expected = plain(base, student[..., 0], teacher[..., 0], labels)
    torch.testing.assert_close(loss, expected)


@each_base
def test_s15_doubling_the_batch(batch, base):
    doubled = [torch.cat([x, x]) for x in batch]
    torch.testing.assert_close(SDDLoss(base)(*doubled), SDDLoss(base)(*batch))


@each_base
def test_gradcheck(batch, base):
    student, teacher, labels = batch
    loss = SDDLoss(base)
    assert torch.autograd.gradcheck(
        lambda leaf: loss(leaf, teacher, labels), student
    )


def test_the_teacher_gets_no_gradient(batch):
    batch[1].requires_grad_()
    SDDLoss(dict(type='NKDLoss'))(*batch).backward()
    assert batch[1].grad is None and batch[0].grad.abs().max() > 0


@each_base
def test_empty_batch(batch, base):
    value = SDDLoss(base)(*(x[:0] for x in batch))
    value.backward()
    assert value == 0 and batch[0].grad.abs().max() == 0


@each_base
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_inputs_give_float32(batch, base, dtype):
    student = batch[0].detach().to(dtype).requires_grad_()
    teacher = batch[1].to(dtype)
    loss = SDDLoss(base)
    with torch.autocast('cpu', dtype):
        value = loss(student, teacher, batch[2])
    assert value.dtype == torch.float32
    full = loss(student.float(), teacher.float(), batch[2])
    torch.testing.assert_close(value, full)
    value.backward()
    assert student.grad.dtype == dtype and student.grad.isfinite().all()


def test_saturated_logits_are_finite(batch):
    """Where the authors' code drops the whole step."""
    student, teacher, labels = batch
    value = SDDLoss(dict(type='DKDLoss'))(
        student.float() * 1e4, teacher.float() * 1e4, labels
    )
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()


def test_a_nan_shows(batch):
    batch[0].data[2, 1, 3] = math.nan
    assert SDDLoss(dict(type='KDLoss'))(*batch).isnan()


def test_it_has_no_state():
    assert SDDLoss(dict(type='DKDLoss')).state_dict() == {}


@pytest.mark.parametrize('scope', ['mmengine', 'mmdet', 'kd_det'])
def test_the_base_is_found_in_any_scope(scope):
    with DefaultScope.overwrite_default_scope(scope):
        loss = SDDLoss(dict(type='DKDLoss', tau=1.0))
        assert type(loss.base) is DKDLoss
        cfg = dict(type='kd_det.SDDLoss', base=dict(type='NKDLoss'))
        assert type(MODELS.build(cfg).base) is NKDLoss


def test_the_config_of_the_base_is_left_alone():
    base = dict(type='KDLoss', tau=4.0)
    assert type(SDDLoss(base).base) is KDLoss
    assert base == dict(type='KDLoss', tau=4.0)
    assert type(SDDLoss(dict(type=HardKDLoss)).base) is HardKDLoss


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (dict(base=dict(type='DISTLoss')), "wrong type 'DISTLoss'; accepted"),
        (dict(base=dict(type='SDDLoss', base={})), "wrong type 'SDDLoss'"),
        (dict(base=dict(type='DKDLos')), "did you mean 'DKDLoss'"),
        (dict(base=dict(tau=1.0)), 'base of SDDLoss is of unknown type None'),
        (dict(base='DKDLoss'), "base of SDDLoss is 'DKDLoss'; a dict"),
        (dict(base=dict(type='KDLoss', beta=1)), 'accepted are tau, loss_w'),
        (dict(base=dict(type='KDLoss', tau=0)), 'KDLoss: tau=0; a finite'),
        (
            dict(base=dict(type='KDLoss', loss_weight=0.9)),
            'base has loss_weight=0.9, where only 1 is accepted',
        ),
        (dict(beta=-1), 'SDDLoss: beta=-1; a finite number, 0 or above'),
        (dict(beta='2'), "SDDLoss: beta='2'; a finite number"),
        (
            dict(split='papers'),
            "SDDLoss: split='papers'; accepted are 'code' and 'paper'; did "
            "you mean 'paper'",
        ),
        (dict(split=None), 'SDDLoss: split=None; accepted are'),
        (dict(loss_weight='1'), "SDDLoss: loss_weight='1'; a finite number"),
    ],
)
def test_arguments_are_checked_at_the_build(args, message):
    with pytest.raises(UserError) as caught:
        SDDLoss(**{'base': dict(type='KDLoss'), **args})
    assert message in str(caught.value)


@each_base
def test_soft_labels(batch, base):
    labels = torch.full((N, K), 1 / K)
    with pytest.raises(UserError, match='SDDLoss needs one class per sample'):
        SDDLoss(base)(*batch[:2], labels)
