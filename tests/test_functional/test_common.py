"""The shared helpers, and the rules that bind every loss of the package."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from functional_toy import draw
from property_table import CASES, draw_case

from kd_det import functional as KF
from kd_det.functional._common import (
    check_choice,
    check_labels,
    check_positive,
    check_shapes,
    float32_math,
    safe_norm,
    safe_normalize,
)

N, K, D, R = 6, 5, 7, 5
NAN, INF = float('nan'), float('inf')
SIZES = dict(N=N, K=K, D=D, R=R, E=4, C=3, H=5, W=2, G=4, V=3)
# Sums of these coordinates are not what is tested in half precision.
BOXES = {'crosskd_box_loss, boxes'}


def inputs(name, dtype=torch.float64):
    case = CASES[name]
    student, teacher, labels = draw_case(
        case, dict(sizes=SIZES, seed=1, dtype=dtype)
    )
    return student.requires_grad_(), teacher.requires_grad_(), labels


@pytest.fixture(params=CASES)
def name(request):
    return request.param


class TestRules:
    def test_gradcheck(self, name):
        student, teacher, labels = inputs(name)
        teacher = teacher.detach()
        assert torch.autograd.gradcheck(
            lambda s: CASES[name].call(s, teacher, labels), student
        )

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_half_is_computed_in_float32(self, name, dtype):
        if name in BOXES:
            pytest.skip('adds in half precision before the call')
        student, teacher, labels = inputs(name, dtype)
        loss = CASES[name].call(student, teacher, labels)
        assert loss.dtype == torch.float32
        loss.sum().backward()
        assert student.grad.dtype == dtype
        # The half values taken as exact, so that only the arithmetic counts.
        exact = student.detach().double().requires_grad_()
        other = teacher.detach().double()
        expected = CASES[name].call(exact, other, labels)
        torch.testing.assert_close(
            loss.double(), expected, rtol=1e-5, atol=1e-5
        )
        expected.sum().backward()
        torch.testing.assert_close(
            student.grad, exact.grad.to(dtype), rtol=2e-2, atol=1e-3
        )

    @pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
    def test_autocast_changes_nothing(self, name, dtype):
        arguments = inputs(name, dtype)
        plain = CASES[name].call(*arguments)
        with torch.autocast('cpu', torch.bfloat16):
            cast = CASES[name].call(*arguments)
        assert cast.dtype == torch.float32
        assert torch.equal(cast, plain)

    def test_nan_is_not_masked(self, name):
        student, teacher, labels = inputs(name)
        with torch.no_grad():
            student[0] = torch.nan
        loss = CASES[name].call(student, teacher, labels)
        assert loss[0].isnan().all() if loss.ndim else loss.isnan()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
    def test_no_host_synchronisation(self, name):
        expected = CASES[name].call(*inputs(name))
        on_gpu = [x.detach().cuda() for x in inputs(name)]
        on_gpu[0].requires_grad_()
        CASES[name].call(*on_gpu)  # what the case holds is copied once
        torch.cuda.set_sync_debug_mode('error')
        try:
            loss = CASES[name].call(*on_gpu)
            loss.sum().backward()
        finally:
            torch.cuda.set_sync_debug_mode('default')
        torch.testing.assert_close(loss.cpu(), expected)


class TestFloat32Math:
    def test_looks_into_lists_and_keywords(self):
        @float32_math
        def total(many, one=None):
            assert all(x.dtype == torch.float32 for x in many)
            return sum(x.sum() for x in many) + one

        x = torch.ones(2, dtype=torch.float16, requires_grad=True)
        out = total([x, x], one=torch.ones((), dtype=torch.bfloat16))
        out.backward()
        assert out.item() == 5 and out.dtype == torch.float32
        assert x.grad.tolist() == [2, 2]

    def test_autocast_is_restored(self):
        @float32_math
        def product(x):
            return x @ x

        x = torch.eye(2)
        with torch.autocast('cpu', torch.bfloat16):
            assert product(x).dtype == torch.float32
            assert (x @ x).dtype == torch.bfloat16


class TestChecks:
    def test_shapes_name_both_tensors(self):
        with pytest.raises(ValueError, match=r'b of shape \(3, 5\).*a has'):
            check_shapes(
                a=(torch.ones(3, 4), 'N D'), b=(torch.ones(3, 5), 'N D')
            )
        with pytest.raises(ValueError, match=r'y must have shape \(N\)'):
            check_shapes(y=(torch.ones(3, 4), 'N'))
        with pytest.raises(TypeError, match='y must be a torch.Tensor'):
            check_shapes(y=([1.0], 'N'))

    @pytest.mark.parametrize(
        'dtype', [torch.uint8, torch.int8, torch.int16, torch.int32]
    )
    def test_labels_of_any_integer_dtype(self, dtype):
        labels = check_labels(torch.tensor([0, 2], dtype=dtype), 3)
        assert labels.dtype == torch.int64 and labels.tolist() == [0, 2]

    def test_labels_out_of_range_are_named(self):
        with pytest.raises(ValueError, match=r'\[0, 3\), got -1, 3;'):
            check_labels(torch.tensor([3, 0, -1, 3]), 3)

    @pytest.mark.parametrize('dtype', [torch.float32, torch.bool])
    def test_labels_of_another_dtype(self, dtype):
        with pytest.raises(ValueError, match='integer dtype'):
            check_labels(torch.zeros(2, dtype=dtype), 3)

    def test_many_wrong_labels_stay_short(self):
        with pytest.raises(ValueError, match='17 and 92 more'):
            check_labels(torch.arange(10, 110), 5)

    def test_no_labels(self):
        assert check_labels(torch.zeros(0, dtype=torch.long), 3).shape == (0,)

    def test_choice(self):
        check_choice('p', 1, (1, 2, 'cos'))
        with pytest.raises(ValueError, match="'coss'; did you mean 'cos'?"):
            check_choice('p', 'coss', (1, 2, 'cos'))
        with pytest.raises(ValueError, match="p must be one of 1, 2, 'cos'"):
            check_choice('p', 3, (1, 2, 'cos'))

    def test_choice_of_another_type_is_named_as_it_is(self):
        with pytest.raises(ValueError, match="got '1'; did you mean 1\\?"):
            check_choice('p', '1', (1, 2, 'cos'))

    @pytest.mark.parametrize('value', [0, -1.0, NAN, INF])
    def test_positive(self, value):
        with pytest.raises(ValueError, match='tau must be above 0'):
            check_positive('tau', value)

    def test_positive_wants_a_number(self):
        # labels given where tau stands: kd_loss as a bare `base` of SDD
        with pytest.raises(TypeError, match='tau must be a number'):
            KF.sdd_loss(
                draw(2, K, 1),
                draw(2, K, 1),
                torch.zeros(2, dtype=torch.long),
                base=KF.kd_loss,
            )


Y = torch.arange(N) % K
# A function and its argument: the call, and what is no such argument.
WRONG = {
    'kd tau': (lambda v: KF.kd_loss(draw(N, K), draw(N, K), v), (INF, NAN)),
    'dkd alpha': (
        lambda v: KF.dkd_loss(draw(N, K), draw(N, K), Y, alpha=v),
        (NAN, INF, '1', None, [1.0]),
    ),
    'dkd beta': (
        lambda v: KF.dkd_loss(draw(N, K), draw(N, K), Y, beta=v),
        (NAN, '8', None),
    ),
    'nkd gamma': (
        lambda v: KF.nkd_loss(draw(N, K), draw(N, K), Y, gamma=v),
        (INF, '8', None),
    ),
    'nkd mask_target': (
        lambda v: KF.nkd_loss(draw(N, K), draw(N, K), Y, mask_target=v),
        ('0', None, 'yes', [0]),
    ),
    'dist beta': (
        lambda v: KF.dist_loss(draw(N, K), draw(N, K), beta=v),
        (NAN, '8'),
    ),
    'dist gamma': (
        lambda v: KF.dist_loss(draw(N, K), draw(N, K), gamma=v),
        (INF, None),
    ),
    'sigmoid gamma': (
        lambda v: KF.sigmoid_kd_loss(draw(N, K), draw(N, K), gamma=v),
        (INF, NAN, '8', None),
    ),
    'sifn step': (
        lambda v: KF.sifn_loss(draw(N, D), draw(N), v),
        (INF, NAN, 'a', None),
    ),
    'sdd beta': (
        lambda v: KF.sdd_weights(draw(N, K, R), Y, beta=v),
        (INF, NAN, '2', None),
    ),
    'darkrank alpha': (
        lambda v: KF.darkrank_loss(draw(N, D), draw(N, D), v),
        (0, -1.0, INF, NAN, '3', None),
    ),
    'darkrank beta': (
        lambda v: KF.darkrank_loss(draw(N, D), draw(N, D), beta=v),
        (0.5, 0, INF, NAN, '3', None),
    ),
    'darkrank list_length': (
        lambda v: KF.darkrank_loss(draw(N, D), draw(N, D), list_length=v),
        (1, 0, 4.0, '4', None),
    ),
    'pool scales': (
        lambda v: KF.region_pool(draw(1, 2, 4, 4), v),
        ({1: 2}, {1}, 4, '12', (), (True, 2), (1.0,), None, torch.ones(2)),
    ),
    'pool via_4x4': (
        lambda v: KF.region_pool(draw(1, 2, 4, 4), via_4x4=v),
        ('no', None),
    ),
    'cka debiased': (
        lambda v: KF.linear_cka(draw(N, D), draw(N, D), v),
        ('no', None),
    ),
    'centroids num_classes': (
        lambda v: KF.class_centroids(draw(N, D), Y, v),
        (5.0, 2.5, '5', None, 0, -1),
    ),
}


@pytest.mark.parametrize('name', WRONG)
def test_wrong_arguments_are_named(name):
    call, values = WRONG[name]
    for value in values:
        with pytest.raises((TypeError, ValueError)) as caught:
            call(value)
        assert f'{name.split()[1]} must be' in str(caught.value), value


def test_numbers_of_numpy_and_tensors_of_one_number_are_numbers():
    logits = draw(N, K), draw(N, K), Y
    for number in (np.float32(2), np.int64(2), torch.tensor(2.0), True):
        expected = KF.dkd_loss(*logits, alpha=float(number))
        assert torch.equal(KF.dkd_loss(*logits, alpha=number), expected)
    expected = KF.kd_loss(*logits[:2], tau=2.0)
    assert torch.equal(KF.kd_loss(*logits[:2], tau=np.float64(2)), expected)
    for count in (np.int64(K), torch.tensor(K)):
        assert KF.class_centroids(draw(N, D), Y, count)[0].shape == (K, D)


def test_integers_count_where_nothing_is_lost():
    whole = (draw(N, D) * 9).long()
    means = KF.class_centroids(whole, Y, K)[0]
    assert torch.equal(means, KF.class_centroids(whole.double(), Y, K)[0])
    recall = KF.recall_at_k(whole, Y, [1, 3])
    assert recall == KF.recall_at_k(whole.double(), Y, [1, 3])


def test_cka_of_integers_is_refused():
    whole = (draw(N, D) * 9).long()
    for pair in ((whole, draw(N, D)), (draw(N, D), whole)):
        with pytest.raises(ValueError, match='floating dtype'):
            KF.linear_cka(*pair)


class TestSafeNorm:
    @pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
    @pytest.mark.parametrize('scale', [0, 1e-30, 1e-12, 1e-7])
    def test_zero_vectors(self, dtype, scale):
        x = torch.full((2, 3), scale, dtype=dtype, requires_grad=True)
        unit = safe_normalize(x)
        assert torch.equal(unit, torch.zeros_like(unit))
        unit.sum().backward()
        assert torch.equal(x.grad, torch.zeros_like(x))
        x.grad = None
        safe_norm(x).sum().backward()
        assert x.grad.abs().max() <= 1
        if scale == 0:
            assert torch.equal(x.grad, torch.zeros_like(x))

    def test_gradient_is_bounded(self):
        for scale in 10.0 ** torch.arange(-12.0, 3.0):
            x = (draw(4, 3) * scale).requires_grad_()
            (safe_normalize(x) * draw(4, 3, seed=1)).sum().backward()
            assert x.grad.abs().max() < 5e6

    def test_values(self):
        x = torch.tensor([[3.0, 4.0]])
        assert safe_norm(x).tolist() == [5]
        torch.testing.assert_close(
            safe_normalize(x), torch.tensor([[0.6, 0.8]])
        )
        torch.testing.assert_close(safe_normalize(x, dim=0), torch.ones(1, 2))
        assert safe_normalize(x * torch.nan).isnan().all()


def test_names_exist():
    for name in KF.__all__:
        assert callable(getattr(KF, name))
    assert len(KF.__all__) == len(set(KF.__all__))


def test_needs_torch_alone():
    code = (
        'import sys; import kd_det.functional; '
        "print([m for m in ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', "
        "'torchvision') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == '[]'
