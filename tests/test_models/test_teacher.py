"""FrozenTeacher: strict weights, no surprise, and its switches."""

import copy
import functools
import os
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import get_state_dict
from tiny import (
    CLASSES,
    NUM,
    build,
    build_student,
    pair_cfg,
    tiny_spec,
    write_weights,
)

from kd_det.errors import UserError
from kd_det.files import sha256_of
from kd_det.models import FrozenTeacher, rewriting
from kd_det.models.teacher import load_exactly, stored_classes
from kd_det.testing import save_teacher

SOURCE = 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'


@pytest.fixture(scope='module', autouse=True)
def scope():
    init_default_scope('mmdet')


@pytest.fixture(scope='module')
def frozen(teacher):
    return FrozenTeacher(teacher)


@pytest.fixture(scope='module')
def changed(teacher, tmp_path_factory):
    """Return the spec with some of its keys changed in the file."""
    folder = tmp_path_factory.mktemp('changed')

    def write(change, name='changed.pth'):
        checkpoint = torch.load(teacher['ckpt'], weights_only=True)
        change(checkpoint['state_dict'])
        torch.save(checkpoint, folder / name)
        return dict(teacher, ckpt=str(folder / name))

    return write


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(keys='akamaster'), 'cifar_networks.md .*says where it comes'),
        (dict(), "train it first, with '.*base.py' or your own config"),
        (dict(cfg='mmdet::' + SOURCE), 'give the path of a .pth file, or'),
    ],
)
def test_a_missing_file_says_where_to_get_it(teacher, change, message):
    spec = {**teacher, 'ckpt': 'data/teachers/x.th', **change}
    with pytest.raises(
        FileNotFoundError, match=f"no checkpoint 'data/teachers/.*{message}"
    ):
        FrozenTeacher(spec)


def test_the_config_to_train_is_a_path_to_type(teacher):
    path = Path(teacher['cfg'])
    crooked = str(path.parent / '..' / path.parent.name / path.name)
    spec = dict(teacher, ckpt='data/teachers/x.th', cfg=crooked)
    with pytest.raises(FileNotFoundError) as caught:
        FrozenTeacher(spec)
    assert f"with '{path}'" in str(caught.value)


def test_what_it_knows(frozen, teacher):
    assert frozen.classes == CLASSES
    assert frozen.sha256 == sha256_of(teacher['ckpt'])
    assert frozen.ckpt == teacher['ckpt']
    assert frozen.source == teacher['cfg']
    assert 'test_dataloader' in frozen.cfg
    assert not frozen.training
    assert not any(p.requires_grad for p in frozen.parameters())


def test_weights_are_those_of_the_file(frozen, teacher):
    checkpoint = torch.load(teacher['ckpt'], weights_only=True)
    state = get_state_dict(frozen.model)
    assert {*state} == {*checkpoint['state_dict']}
    for key, value in checkpoint['state_dict'].items():
        assert torch.equal(state[key], value), key


def test_it_changes_its_spec_as_little_as_the_file(teacher):
    before = copy.deepcopy(teacher)
    FrozenTeacher(teacher)
    assert teacher == before


def test_no_checkpoint(teacher):
    spec = {key: value for key, value in teacher.items() if key != 'ckpt'}
    for ckpt in (None, '', 3):
        with pytest.raises(UserError, match='--teacher FILE.*teacher.ckpt'):
            FrozenTeacher(dict(spec, ckpt=ckpt))
    with pytest.raises(FileNotFoundError, match="no checkpoint 'nope.pth'"):
        FrozenTeacher(dict(spec, ckpt='nope.pth'))
    with pytest.raises(UserError, match='Cannot download.*--teacher FILE'):
        FrozenTeacher(dict(spec, ckpt='https://checkpoints.invalid/x.pth'))


def test_truncated(teacher, tmp_path):
    with open(teacher['ckpt'], 'rb') as file:
        content = file.read()
    path = tmp_path / 'cut.pth'
    for share in (0, 0.001, 0.3, 0.9, 0.9999):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(UserError, match="cut.pth' of .* truncated"):
            FrozenTeacher(dict(teacher, ckpt=str(path)))


def test_another_architecture(teacher):
    spec = dict(tiny_spec(), ckpt=teacher['ckpt'])
    with pytest.raises(UserError) as caught:
        FrozenTeacher(spec)
    message = str(caught.value)
    assert 'does not fit the teacher FasterRCNN' in message
    assert 'keys unexpected (backbone.layer1.0.conv3.weight, ' in message
    assert 'shapes differ (backbone.layer1.0.conv1.weight is (8, ' in message


def test_first_missing_and_unexpected_keys(changed):
    def rename(state):
        for i, key in enumerate([k for k in state if 'rpn_head' in k]):
            state[f'rpn.{i}'] = state.pop(key)

    with pytest.raises(UserError) as caught:
        FrozenTeacher(changed(rename))
    message = str(caught.value)
    assert '6 keys missing (rpn_head.rpn_conv.weight, ' in message
    assert '6 keys unexpected (rpn.0, rpn.1, rpn.2, …)' in message


def test_other_class_count(teacher):
    with pytest.raises(UserError) as caught:
        FrozenTeacher(dict(teacher, num_classes=NUM + 1))
    message = str(caught.value)
    assert '4 shapes differ (roi_head.bbox_head.fc_cls.weight is (8, 32)' in (
        message
    )
    assert 'the class lists differ: the file has 7 classes' in message


def test_a_checkpoint_of_another_kind(teacher, tmp_path):
    path = tmp_path / 'a.pth'
    for content, message in (
        ({'model': dict(a=torch.ones(1)), 'epoch': 3}, '1 key unexpected'),
        ({'state_dict': [1]}, 'holds a list as its state_dict'),
        ({1: torch.ones(1)}, 'keys missing'),
        ({}, 'keys missing'),
    ):
        torch.save(content, path)
        with pytest.raises(UserError, match=message):
            FrozenTeacher(dict(teacher, ckpt=str(path)))


def test_values_that_are_no_tensors(changed):
    def spoil(state):
        state['backbone.conv1.weight'] = 3

    with pytest.raises(UserError, match='conv1.weight is a int in the file'):
        FrozenTeacher(changed(spoil))


def test_code_is_refused_and_trust_is_a_choice(changed, tmp_path):
    trap = tmp_path / 'executed'

    class Touch:
        def __reduce__(self):
            return os.system, (f'touch {trap}',)

    def poison(state):
        state['backbone.conv1.weight'].note = 1  # a plain attribute is lost
        state['distill.evil'] = Touch()

    spec = changed(poison)
    with pytest.raises(UserError, match='trust_pickle=True'):
        FrozenTeacher(spec)
    assert not trap.exists()
    FrozenTeacher(dict(spec, trust_pickle=True))
    assert trap.exists()


def test_old_files_have_no_counters(changed, frozen):
    def strip(state):
        for key in [k for k in state if 'num_batches_tracked' in k]:
            del state[key]

    teacher = FrozenTeacher(changed(strip))
    x = torch.rand(1, 3, 64, 64)
    for ours, full in zip(teacher.extract_feat(x), frozen.extract_feat(x)):
        assert torch.equal(ours, full)


def test_prefix_of_data_parallel(changed):
    def wrap(state):
        for key in list(state):
            state[f'module.{key}'] = state.pop(key)

    FrozenTeacher(changed(wrap))


def test_a_distilled_student_becomes_a_teacher(teacher, bank, tmp_path):
    losses = dict(loss_sifn=dict(type='SIFNLoss', num_classes=NUM + 1))
    model = build(pair_cfg(teacher, losses, bank))
    state = get_state_dict(model)
    assert any(key.startswith('distill.') for key in state)
    torch.save(dict(state_dict=state), tmp_path / 'student.pth')
    spec = dict(tiny_spec(), ckpt=str(tmp_path / 'student.pth'))
    again = get_state_dict(FrozenTeacher(spec).model)
    for key, value in get_state_dict(model.student).items():
        assert torch.equal(again[key], value), key


def test_a_refused_checkpoint_changes_nothing():
    model, other = build_student(seed=1), build_student(seed=2)
    state = get_state_dict(other)
    state['extra'] = torch.ones(1)
    before = copy.deepcopy(get_state_dict(model))
    with pytest.raises(UserError, match='fit the student FasterRCNN: 1 key u'):
        load_exactly(model, dict(state_dict=state), 'x.pth', 'student')
    for key, value in get_state_dict(model).items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_that_diverged_are_named(value):
    model, other = build_student(seed=1), build_student(seed=2)
    state = get_state_dict(other)
    key = [key for key in state if key.endswith('conv2.weight')][1]
    state[key].view(-1)[0] = value
    before = get_state_dict(model)[key].clone()
    with pytest.raises(UserError, match=f"'x.pth' of the .* in '{key}';"):
        load_exactly(model, dict(state_dict=state), 'x.pth')
    assert torch.equal(get_state_dict(model)[key], before)


def test_infinity_by_design_is_loaded():
    model, other = torch.nn.Module(), torch.nn.Module()
    for module in (model, other):
        module.register_buffer('mask', torch.tensor([0.0, -torch.inf]))
    load_exactly(model, dict(state_dict=other.state_dict()), 'x.pth')


@pytest.mark.parametrize('dtype', [torch.int8, torch.complex64])
def test_weights_of_another_kind_are_refused(dtype):
    model = build_student(seed=1)
    state = {
        key: value.to(dtype) if value.is_floating_point() else value
        for key, value in get_state_dict(model).items()
    }
    with pytest.raises(UserError, match=f'dtypes differ .* is {dtype} in th'):
        load_exactly(model, dict(state_dict=state), 'x.pth')


def test_weights_of_another_precision_are_loaded():
    model, other = build_student(seed=1), build_student(seed=2)
    state = {
        # the counters too: some tools write them as floats
        key: value.half()
        for key, value in get_state_dict(other).items()
    }
    load_exactly(model, dict(state_dict=state), 'x.pth')
    for key, value in get_state_dict(model).items():
        torch.testing.assert_close(value, state[key].to(value.dtype))


def test_switches_are_true_or_false(teacher):
    for key in ('channels_last', 'fuse_conv_bn', 'trust_pickle'):
        with pytest.raises(UserError, match=f"teacher: {key}='no'; accepted"):
            FrozenTeacher(dict(teacher, **{key: 'no'}))


@pytest.mark.parametrize(
    ('meta', 'classes'),
    [
        (dict(dataset_meta=dict(classes=('a', 'b'))), ('a', 'b')),
        (dict(dataset_meta=dict(CLASSES=['a', 'b'])), ('a', 'b')),
        (dict(CLASSES=('a',)), ('a',)),
        (dict(dataset_meta=dict(classes='a')), ('a',)),
        (dict(dataset_meta={}), ()),
        (dict(dataset_meta=None), ()),
        (dict(dataset_meta='a'), ()),
        ({}, ()),
        (None, ()),
        ('x', ()),
    ],
)
def test_stored_classes(meta, classes):
    assert stored_classes(dict(meta=meta)) == classes
    assert stored_classes({}) == ()


def test_dtype_has_few_values(teacher):
    with pytest.raises(
        UserError, match=r"dtype='half'.*'bfloat16', 'float16'"
    ):
        FrozenTeacher(dict(teacher, dtype='half'))


def test_deepcopy_is_itself(frozen):
    assert copy.deepcopy(frozen) is frozen


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A teacher whose batch norm has statistics that matter."""
    path = tmp_path_factory.mktemp('trained') / 'teacher.pth'

    def change(state):
        torch.manual_seed(1)
        for key, value in state.items():
            if 'running_mean' in key:
                value.normal_(0, 0.3)
            elif 'running_var' in key:
                value.uniform_(0.5, 2)
            elif 'bn' in key and 'weight' in key:
                value.uniform_(0.5, 1.5)

    return write_weights(tiny_spec(50), path, change=change)


def relative(ours, full):
    return max(((a - b).norm() / b.norm()).item() for a, b in zip(ours, full))


@pytest.mark.parametrize(
    ('switch', 'error'),
    [
        (dict(fuse_conv_bn=True), 1e-5),
        (dict(channels_last=True), 1e-5),
        (dict(dtype='bfloat16'), 0.05),
        (dict(dtype='float16'), 0.01),
        (dict(fuse_conv_bn=True, channels_last=True, dtype='bfloat16'), 0.05),
    ],
)
@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
def test_switches_change_little(trained, switch, error, layout, monkeypatch):
    monkeypatch.setattr(rewriting, 'is_fast_in', lambda dtype: True)
    torch.manual_seed(0)
    inputs = torch.randn(2, 3, 64, 64)
    if layout == 'channels_last':
        inputs = inputs.to(memory_format=torch.channels_last)
    plain = FrozenTeacher(trained)
    full = plain.extract_feat(inputs)
    frozen = FrozenTeacher(dict(trained, **switch))
    feats = frozen.extract_feat(inputs)
    # the compiled RoIAlign misreads maps that are not contiguous
    rois = torch.tensor([[0.0, 4, 4, 40, 50], [1.0, 10, 0, 60, 30]])
    embeds = [
        teacher.model.roi_head._bbox_forward(maps, rois)['bbox_feats']
        for teacher, maps in ((frozen, feats), (plain, full))
    ]
    assert relative(embeds[:1], embeds[1:]) < error
    assert {feat.dtype for feat in feats} == {torch.float32}
    assert not any(feat.requires_grad for feat in feats)
    assert relative(feats, full) < error
    norms = [
        m
        for m in frozen.modules()
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)
    ]
    assert (not norms) == ('fuse_conv_bn' in switch)
    conv = frozen.model.backbone.layer2[0].conv2.weight
    assert conv.is_contiguous(memory_format=torch.channels_last) == (
        'channels_last' in switch
    )
    # the switches matter: half precision is not full
    assert ('dtype' in switch) == (relative(feats, full) > 1e-4)


def test_autocast_of_the_student_does_not_reach_the_teacher(trained):
    inputs = torch.randn(1, 3, 64, 64)
    frozen = FrozenTeacher(trained)
    full = frozen.extract_feat(inputs)
    with torch.autocast('cpu', torch.bfloat16):
        feats = frozen.extract_feat(inputs)
    assert all(map(torch.equal, feats, full))


def test_inputs_are_not_changed(frozen):
    inputs = torch.randn(1, 3, 64, 64)
    before = inputs.clone()
    frozen.extract_feat(inputs)
    assert torch.equal(inputs, before)


def test_weights_may_stand_in_a_home_folder(teacher, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    os.link(teacher['ckpt'], tmp_path / 'teacher.pth')
    frozen = FrozenTeacher(dict(teacher, ckpt='~/teacher.pth'))
    assert frozen.sha256 == sha256_of(teacher['ckpt'])


def test_random_draws_of_its_making_are_the_owners_affair(teacher):
    make = functools.partial(FrozenTeacher, teacher)
    torch.manual_seed(0)
    first = make().extract_feat(torch.ones(1, 3, 64, 64))
    torch.manual_seed(1)
    second = make().extract_feat(torch.ones(1, 3, 64, 64))
    assert all(map(torch.equal, first, second))


def test_the_demo_teacher_is_reproducible(tmp_path):
    spec = tiny_spec()
    files = [tmp_path / 'a.pth', tmp_path / 'b.pth']
    states = []
    for file in files:
        torch.rand(1)
        save_teacher(spec, file)
        states.append(torch.load(file, weights_only=True)['state_dict'])
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key
