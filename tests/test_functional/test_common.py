"""The shared helpers, and the rules that bind every loss of the package."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
from functional_toy import draw

from kd_det import functional as KF
from kd_det.functional._common import (
    HALF,
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


# Exact in every dtype, so that half precision sees the same centroids.
CENTROIDS = (draw(K, D, seed=9) * 4).round() / 4
MARGIN = torch.tensor([-0.25, -0.5, -1.5])
MAP, SMALLER_MAP = (3, 5, 2), (4, 3, 2)


def sides(numbers):
    """Boxes of four numbers: corners, then extents."""
    if numbers.dtype in HALF:  # the sums are not what is tested
        numbers = numbers.float()
    extents = numbers[:, 2:].abs() + 1
    return torch.cat([numbers[:, :2], numbers[:, :2] + extents], dim=1)


def centred(numbers):
    """Boxes of four numbers: centre, then width and height."""
    corner, extents = sides(numbers).tensor_split(2, dim=1)
    return torch.cat([corner, extents - corner], dim=1)


def areas_like(feat):
    """An object of two cells in each map."""
    areas = torch.zeros(len(feat), *feat.shape[2:], device=feat.device)
    areas[:, 1] = 2
    return areas


# Each case: a call of (student, teacher, labels), then the shapes of the two
# tensors without N. No teacher shape: the second is the (K, D) centroids.
CASES = {
    'kd': (lambda s, t, y: KF.kd_loss(s, t, tau=2.0), (K,), (K,)),
    'kd standardised': (
        lambda s, t, y: KF.kd_loss(s, t, 2.0, True),
        (K,),
        (K,),
    ),
    'dkd': (
        lambda s, t, y: KF.dkd_loss(s, t, y, 1.5, 4.0, 2.0),
        (K,),
        (K,),
    ),
    'nkd': (lambda s, t, y: KF.nkd_loss(s, t, y, 1.5, 2.0), (K,), (K,)),
    'nkd as published': (
        lambda s, t, y: KF.nkd_loss(s, t, y, tau=2.0, mask_target=False),
        (K,),
        (K,),
    ),
    'dist': (lambda s, t, y: KF.dist_loss(s, t, 2.0, 0.5, 3.0), (K,), (K,)),
    'nd': (
        lambda s, t, y: KF.nd_loss(s, t, CENTROIDS.to(s.dtype), y),
        (D,),
        (D,),
    ),
    'norm': (lambda s, t, y: KF.norm_loss(s, t), (D,), (D,)),
    'sifn': (lambda s, t, y: KF.sifn_loss(s, t, step=0.5), (D,), ()),
    'fdr cosine': (KF.fdr_cosine_loss, (D,), None),
    'fdr infonce': (
        lambda s, t, y: KF.fdr_infonce_loss(s, t, y, tau=0.5),
        (D,),
        None,
    ),
    'sdd': (
        lambda s, t, y: KF.sdd_loss(
            s, t, y, functools.partial(KF.dkd_loss, beta=2.0)
        ),
        (K, R),
        (K, R),
    ),
    'region pool': (lambda s, t, y: KF.region_pool(s), (3, 7, 5), None),
    'fm': (lambda s, t, y: KF.feature_matching_loss(s, t), (D,), (D,)),
    'sr': (lambda s, t, y: KF.softmax_regression_loss(s, t), (K,), (K,)),
    'sr ce': (
        lambda s, t, y: KF.softmax_regression_loss(s, t, 'ce'),
        (K,),
        (K,),
    ),
    'sr kl': (
        lambda s, t, y: KF.softmax_regression_loss(s, t, 'kl'),
        (K,),
        (K,),
    ),
    'rkd distance': (lambda s, t, y: KF.rkd_distance_loss(s, t), (D,), (K,)),
    'rkd angle': (lambda s, t, y: KF.rkd_angle_loss(s, t), (D,), (K,)),
    'darkrank': (lambda s, t, y: KF.darkrank_loss(s, t, 0.1), (D,), (K,)),
    'attention': (
        lambda s, t, y: KF.attention_transfer_loss(s, t),
        MAP,
        SMALLER_MAP,
    ),
    'factor': (lambda s, t, y: KF.factor_transfer_loss(s, t), MAP, MAP),
    'inheritance': (lambda s, t, y: KF.inheritance_loss(s, t), MAP, MAP),
    'exploration': (lambda s, t, y: KF.exploration_loss(s, t, 2), MAP, MAP),
    'exploration cos': (
        lambda s, t, y: KF.exploration_loss(s, t, 'cos'),
        MAP,
        MAP,
    ),
    'ofd': (
        lambda s, t, y: KF.ofd_loss(s, t, MARGIN.to(s.device)),
        MAP,
        MAP,
    ),
    'hcl': (
        lambda s, t, y: KF.hcl_loss([s, s[..., :1, :]], [t, t[..., :1, :]]),
        MAP,
        MAP,
    ),
    'pkd': (lambda s, t, y: KF.pkd_loss(s, t), MAP, MAP),
    'mgd': (lambda s, t, y: KF.mgd_loss(s, t), MAP, MAP),
    'fgd focal': (
        lambda s, t, y: KF.fgd_focal_loss(s, t, areas_like(s), 0.3, 0.2),
        MAP,
        MAP,
    ),
    'fgd attention': (lambda s, t, y: KF.fgd_attention_loss(s, t), MAP, MAP),
    'crosskd class': (
        lambda s, t, y: KF.crosskd_class_loss(s, t, 2.0),
        (K,),
        (K,),
    ),
    'crosskd box': (
        lambda s, t, y: KF.crosskd_box_loss(sides(s), sides(t)),
        (4,),
        (4,),
    ),
    'query box': (
        lambda s, t, y: KF.query_box_loss(centred(s), centred(t)),
        (4,),
        (4,),
    ),
    'cwd': (lambda s, t, y: KF.cwd_loss(s, t, tau=2.0), MAP, MAP),
}
SCALAR = (
    'dist',
    'rkd distance',
    'rkd angle',
    'darkrank',
    'inheritance',
    'exploration',
    'exploration cos',
    'pkd',
)


def inputs(name, n=N, dtype=torch.float64):
    _, student_shape, teacher_shape = CASES[name]
    student = draw(n, *student_shape, seed=1).to(dtype).requires_grad_()
    if teacher_shape is None:
        teacher = draw(K, D, seed=2)
    else:
        teacher = draw(n, *teacher_shape, seed=2)
    return student, teacher.to(dtype).requires_grad_(), torch.arange(n) % K


@pytest.fixture(params=CASES)
def name(request):
    return request.param


class TestRules:
    def test_float64_stays_and_teacher_gets_no_gradient(self, name):
        student, teacher, labels = inputs(name)
        loss = CASES[name][0](student, teacher, labels)
        assert loss.dtype == torch.float64
        loss.sum().backward()
        assert student.grad.abs().sum() > 0
        assert teacher.grad is None

    def test_shape(self, name):
        loss = CASES[name][0](*inputs(name))
        if name == 'region pool':
            assert loss.shape == (N, 3, 21)
        else:
            assert loss.shape == (() if name in SCALAR else (N,))

    def test_gradcheck(self, name):
        student, teacher, labels = inputs(name)
        teacher = teacher.detach()
        assert torch.autograd.gradcheck(
            lambda s: CASES[name][0](s, teacher, labels), student
        )

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_half_is_computed_in_float32(self, name, dtype):
        student, teacher, labels = inputs(name, dtype=dtype)
        loss = CASES[name][0](student, teacher, labels)
        assert loss.dtype == torch.float32
        loss.sum().backward()
        assert student.grad.dtype == dtype
        # The half values taken as exact, so that only the arithmetic counts.
        exact = student.detach().double().requires_grad_()
        expected = CASES[name][0](exact, teacher.detach().double(), labels)
        torch.testing.assert_close(
            loss.double(), expected, rtol=1e-5, atol=1e-5
        )
        expected.sum().backward()
        torch.testing.assert_close(
            student.grad, exact.grad.to(dtype), rtol=2e-2, atol=1e-3
        )

    @pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
    def test_autocast_changes_nothing(self, name, dtype):
        arguments = inputs(name, dtype=dtype)
        plain = CASES[name][0](*arguments)
        with torch.autocast('cpu', torch.bfloat16):
            cast = CASES[name][0](*arguments)
        assert cast.dtype == torch.float32
        assert torch.equal(cast, plain)

    def test_empty_batch_has_a_graph(self, name):
        student, teacher, labels = inputs(name, n=0)
        loss = CASES[name][0](student, teacher, labels)
        if name in SCALAR:
            assert loss.shape == () and loss.item() == 0
        else:
            assert loss.shape[0] == 0
        loss.sum().backward()
        assert student.grad.shape == student.shape

    def test_rows_do_not_see_each_other(self, name):
        # N12, S15: a permuted and duplicated batch gives the same rows.
        if name in SCALAR:
            pytest.skip('a mean over the batch')
        student, teacher, labels = inputs(name)
        rows = torch.tensor([3, 0, 5, 5, 1, 2, 4, 0])
        loss = CASES[name][0](student, teacher, labels)
        teacher_rows = teacher if CASES[name][2] is None else teacher[rows]
        again = CASES[name][0](student[rows], teacher_rows, labels[rows])
        torch.testing.assert_close(again, loss[rows])

    def test_nan_is_not_masked(self, name):
        student, teacher, labels = inputs(name)
        with torch.no_grad():
            student[0] = torch.nan
        loss = CASES[name][0](student, teacher, labels)
        assert loss[0].isnan().all() if loss.ndim else loss.isnan()

    @pytest.mark.parametrize('dtype', [torch.int64, torch.complex64])
    def test_integers_and_complex_numbers_are_refused(self, name, dtype):
        student, teacher, labels = inputs(name)
        whole = (student.detach() * 9).to(dtype)
        with pytest.raises(ValueError, match=r'floating dtype, got torch\.'):
            CASES[name][0](whole, teacher, labels)
        if name != 'region pool':
            whole = (teacher.detach() * 9).to(dtype)
            with pytest.raises(ValueError, match='floating dtype'):
                CASES[name][0](student, whole, labels)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
    def test_no_host_synchronisation(self, name):
        student, teacher, labels = inputs(name)
        call = CASES[name][0]
        expected = call(student, teacher, labels)
        on_gpu = [x.detach().cuda() for x in (student, teacher, labels)]
        on_gpu[0].requires_grad_()
        if name == 'nd':
            centroids = CENTROIDS.cuda()

            def call(s, t, y):
                return KF.nd_loss(s, t, centroids, y)

        torch.cuda.set_sync_debug_mode('error')
        try:
            loss = call(*on_gpu)
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
