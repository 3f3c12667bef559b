"""Stitching: layers between a backbone and what is inherited are fitted."""

import copy

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.runner import Runner
from mmengine.runner.checkpoint import get_state_dict
from tiny import CLASSES, batch_of, build, losses_of, run_cfg, tiny_spec
from torch.nn.functional import unfold

from kd_det.checkpoint import load_checkpoint
from kd_det.errors import UserError
from kd_det.models import inherit
from kd_det.models.stitch import RidgeRegression, stitch
from kd_det.testing import save_teacher, tiny_classifier, tiny_detector

TWO_STAGE = ('neck', 'rpn_head', 'roi_head')
HOOKS = [dict(type='kd_det.StitchHook')]


def pair(student, teacher, **student_keys):
    return ConfigDict(
        _scope_='kd_det',
        type='DistillModel',
        student=dict(student, **student_keys),
        teacher=teacher,
        classes=CLASSES,
    )


@pytest.fixture
def teacher(tmp_path):
    return save_teacher(tiny_spec(50), tmp_path / 'teacher.pth', CLASSES)


@pytest.fixture
def batches(shapes):
    return [batch_of(shapes, 0, 1), batch_of(shapes, 2, 3)]


class Keep:
    """A hook that keeps the last thing it is given."""

    def __init__(self, kept):
        self.kept = kept

    def __call__(self, module, *seen):
        self.kept.append(seen[-1])


def naive_ridge(x, y, ridge, bias=True):
    """Least squares by NumPy: the penalty is a sample for each weight."""
    count, width = x.shape
    # the mean over all inputs, summed over the samples
    root = np.sqrt(ridge * (x**2).sum(0).mean())
    left = np.zeros((count + width, width + 1))
    right = np.zeros((count + width, y.shape[1]))
    left[:count, :width], left[:count, width] = x, bias
    right[:count] = y
    for i in range(width):
        left[count + i, i] = root
    solution = np.linalg.lstsq(left, right, rcond=None)[0]
    return solution[:width].T, solution[width]


@pytest.mark.parametrize('bias', [True, False])
def test_ridge_regression(bias):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 40, 5)) * 3 + 1
    y = y[:, :3] + x[:, :3] ** 2
    fit = RidgeRegression(ridge=0.1, bias=bias)
    for part in (slice(0, 7), slice(7, 40)):
        fit.update(torch.tensor(x[part]), torch.tensor(y[part]))
    weight, constant, explained = fit.solve()
    expected = naive_ridge(x, y, 0.1, bias)
    np.testing.assert_allclose(weight, expected[0], rtol=1e-9)
    np.testing.assert_allclose(constant, expected[1], rtol=1e-9, atol=1e-12)
    error = ((x @ expected[0].T + expected[1] - y) ** 2).sum()
    total = ((y - y.mean(0)) ** 2).sum()
    assert explained == pytest.approx(1 - error / total)


def test_the_teachers_own_layers_come_back(tmp_path, batches):
    """Behind the same backbone there is an exact fit."""
    spec = save_teacher(tiny_spec(18), tmp_path / 'teacher.pth', CLASSES)
    model = build(pair(tiny_spec(18), spec, inherit=TWO_STAGE))
    student, frozen = model.student, model.teacher
    student.backbone.load_state_dict(frozen.model.backbone.state_dict())
    for joint in student.neck.lateral_convs:
        torch.nn.init.normal_(joint.conv.weight)
        torch.nn.init.normal_(joint.conv.bias)
    found = stitch(student, frozen, TWO_STAGE, batches)
    assert found.keys() == {f'neck.lateral_convs.{i}.conv' for i in range(4)}
    assert all(0.95 < value <= 1 for value in found.values())
    inputs = student.data_preprocessor(batches[0], False)['inputs']
    student.eval()
    for ours, theirs in zip(
        student.extract_feat(inputs), frozen.extract_feat(inputs)
    ):
        error = (ours - theirs).square().mean() / theirs.square().mean()
        assert error < 0.01


@pytest.mark.parametrize('family', ['faster_rcnn', 'retinanet', 'detr'])
def test_against_numpy(tmp_path, batches, family):
    """RetinaNet's neck also reads the last stage by a 3 x 3 convolution."""
    parts = ('neck', 'bbox_head')
    if family == 'faster_rcnn':
        parts = TWO_STAGE
    teacher = save_teacher(
        tiny_detector(family, 50, len(CLASSES)), tmp_path / 't.pth', CLASSES
    )
    student = tiny_detector(family, 18, len(CLASSES))
    model = build(pair(student, teacher, inherit=parts))
    before = copy.deepcopy(model.student.state_dict())
    names = stitch(model.student, model.teacher, parts, batches)
    assert model.student.training
    after = model.student.eval().state_dict()
    changed = {k for k in after if not torch.equal(after[k], before[k])}
    assert {k.rpartition('.')[0] for k in changed} == {*names}
    for name in names:
        samples, targets = [], []
        for batch in batches:
            own = model.student.get_submodule(name)
            theirs = model.teacher.model.get_submodule(name)
            reads, gives = [], []
            handles = [
                own.register_forward_pre_hook(Keep(reads)),
                theirs.register_forward_hook(Keep(gives)),
            ]
            data = model.student.data_preprocessor(batch, False)
            model.student.extract_feat(data['inputs'])
            model.teacher.extract_feat(data['inputs'])
            for handle in handles:
                handle.remove()
            patches = unfold(
                reads[0][0], own.kernel_size, 1, own.padding, own.stride
            )
            samples += [column for image in patches for column in image.T]
            targets += [
                gives[0][i, :, row, column]
                for i in range(len(gives[0]))
                for row in range(gives[0].shape[2])
                for column in range(gives[0].shape[3])
            ]
        x, y = (
            torch.stack(rows).detach().double().numpy()
            for rows in (samples, targets)
        )
        weight, bias = naive_ridge(x, y, 1e-3)
        scale = np.abs(weight).max()
        np.testing.assert_allclose(
            after[f'{name}.weight'].flatten(1), weight, atol=1e-3 * scale
        )
        if own.bias is not None:
            np.testing.assert_allclose(
                after[f'{name}.bias'], bias, atol=1e-3 * np.abs(y).max()
            )


def test_a_classifier(tmp_path):
    spec = save_teacher(tiny_classifier(50), tmp_path / 't.pth')
    model = build(
        ConfigDict(
            _scope_='kd_det',
            type='DistillModel',
            student=dict(tiny_classifier(18), inherit=('head',), stitch=True),
            teacher=spec,
        )
    )
    images = torch.randint(0, 255, (64, 3, 32, 32), dtype=torch.uint8)
    found = stitch(
        model.student, model.teacher, ('head',), [dict(inputs=images)]
    )
    assert found.keys() == {'head.fc'}
    inputs = model.student.data_preprocessor(dict(inputs=images))['inputs']
    ours = model.student.eval()(inputs)
    theirs = model.teacher.model(inputs)
    spread = (theirs - theirs.mean(0)).square().sum()
    assert (ours - theirs).square().sum() < spread


def test_features_that_are_not_finite(teacher, batches):
    model = build(pair(tiny_spec(), teacher, inherit=TWO_STAGE))
    torch.nn.init.constant_(model.student.backbone.conv1.weight, torch.inf)
    with pytest.raises(UserError, match=r'lateral_convs\.0\.conv .* finite'):
        stitch(model.student, model.teacher, TWO_STAGE, batches)


def test_features_that_are_all_zero():
    fit = RidgeRegression()
    fit.update(torch.zeros(4, 3), torch.randn(4, 2))
    weight, _, explained = fit.solve()
    assert not weight.any() and explained == pytest.approx(0)


def until_the_start(model, shapes, folder, **changes):
    """Return the student's weights as its run begins, and a random number."""
    cfg = run_cfg(model, shapes, folder, **changes)
    cfg.custom_hooks = HOOKS
    run = Runner.from_cfg(cfg)
    run.model.init_weights()
    torch.manual_seed(0)
    run.load_or_resume()
    run.call_hook('before_train')
    return get_state_dict(run.model), torch.rand(1)


def test_in_a_run(shapes, teacher, tmp_path):
    """It changes the joints alone and draws no random number."""
    states = {}
    for stitched in (False, True):
        model = pair(tiny_spec(), teacher, inherit=TWO_STAGE, stitch=stitched)
        states[stitched] = until_the_start(
            model, shapes, tmp_path / str(stitched)
        )
    assert states[True][1] == states[False][1]
    plain, fitted = states[False][0], states[True][0]
    # a run that would resume, and has nothing yet to resume from
    begun, _ = until_the_start(
        pair(tiny_spec(), teacher, inherit=TWO_STAGE, stitch=True),
        shapes,
        tmp_path / 'begun',
        resume=True,
    )
    for name, value in fitted.items():
        assert torch.equal(value, begun[name]), name
    for name, value in plain.items():
        changed = not torch.equal(value, fitted[name])
        assert changed == name.startswith('neck.lateral_convs'), name
    # a checkpoint wins
    path = tmp_path / 'student.pth'
    torch.save(plain, path)
    model = pair(tiny_spec(), teacher, inherit=TWO_STAGE, stitch=True)
    loaded, _ = until_the_start(
        model, shapes, tmp_path / 'loaded', load_from=str(path)
    )
    for name, value in plain.items():
        assert torch.equal(value, loaded[name]), name


def test_trains_and_resumes(shapes, teacher, tmp_path):
    model = pair(tiny_spec(), teacher, inherit=TWO_STAGE, stitch=True)
    for epochs, changes in (
        (1, {}),
        (2, dict(load_from=f'{tmp_path}/epoch_1.pth', resume=True)),
    ):
        cfg = run_cfg(
            model, shapes, tmp_path, train_cfg__max_epochs=epochs, **changes
        )
        cfg.custom_hooks = HOOKS
        Runner.from_cfg(cfg).train()
    state = load_checkpoint(f'{tmp_path}/epoch_2.pth')['state_dict']
    assert all(value.isfinite().all() for value in state.values())


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (
            dict(stitch=True),
            'student.stitch=True has no effect without student',
        ),
        (dict(stitch='all', inherit=TWO_STAGE), "stitch='all'"),
    ],
)
def test_refused(teacher, keys, message):
    with pytest.raises(UserError, match=message):
        build(pair(tiny_spec(), teacher, **keys))


def test_the_hook_is_needed(teacher, batches):
    model = build(pair(tiny_spec(), teacher, inherit=TWO_STAGE, stitch=True))
    with pytest.raises(UserError, match='StitchHook'):
        losses_of(model, batches[0])


@pytest.mark.parametrize(('explained', 'warned'), [(0.1, True), (0.6, False)])
def test_warns_of_a_poor_fit(teacher, batches, monkeypatch, explained, warned):
    said = []
    monkeypatch.setattr(
        inherit, 'print_log', lambda text, *_, **__: said.append(text)
    )
    monkeypatch.setattr(
        inherit, 'stitch', lambda *_: {'neck.a': explained, 'neck.b': 0.2}
    )
    model = build(pair(tiny_spec(), teacher, inherit=TWO_STAGE, stitch=True))
    model.inheritance.stitch(model.student, batches)
    assert f'neck.a: R² {explained:.2f}' in said[1]
    assert any('remove student.stitch' in text for text in said) == warned


def test_nothing_to_fit(teacher, batches):
    parts = ('roi_head',)
    model = build(pair(tiny_spec(), teacher, inherit=parts))
    with pytest.raises(UserError, match='no layer of roi_head reads'):
        stitch(model.student, model.teacher, parts, batches)


def test_folded_batch_norm(tmp_path, batches):
    specs = [tiny_spec(50), tiny_spec(18)]
    for spec in specs:
        spec['neck'] = dict(spec['neck'], norm_cfg=dict(type='BN'))
    spec = save_teacher(specs[0], tmp_path / 't.pth', CLASSES)
    student = specs[1]
    for folded in (False, True):
        teacher = dict(spec, fuse_conv_bn=folded)
        model = build(pair(student, teacher, inherit=('neck',)))
        if not folded:
            assert stitch(model.student, model.teacher, ('neck',), batches)
            continue
        with pytest.raises(UserError, match='fuse_conv_bn'):
            stitch(model.student, model.teacher, ('neck',), batches)
