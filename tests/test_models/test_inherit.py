"""Inheritance: which weights a student begins with, row by row."""

import copy
import re

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import get_state_dict
from tiny import (
    CLASSES,
    build,
    build_student,
    count_calls,
    losses_of,
    pair_cfg,
    run_cfg,
    tiny_spec,
)

from kd_det.api.launch import student_of
from kd_det.checkpoint import load_checkpoint
from kd_det.distillers.class_match import ClassMatch
from kd_det.errors import UserError
from kd_det.models.inherit import class_rows
from kd_det.registry import MODELS
from kd_det.testing import save_teacher, tiny_classifier, tiny_detector

TWO_STAGE = ('neck', 'rpn_head', 'roi_head')
OURS = ('jack', 'king', 'Ace', 'ten', 'queen')
THEIRS = ('ace', 'nine', 'ten', 'jack')
# by hand: row of the class in the teacher, None where it knows none
KNOWN = dict(jack=3, king=None, Ace=0, ten=2, queen=None)


def pair(student, teacher, **keys):
    """The config of a pair without a loss."""
    return ConfigDict(
        _scope_='kd_det',
        type='DistillModel',
        student=student,
        teacher=teacher,
        **keys,
    )


def of_cards(folder, family, parts):
    """A pair of detectors whose class lists differ, and their weights.

    Returns:
        The student after and before it has inherited, and the teacher.
    """
    teacher = tiny_detector(family, 50, len(THEIRS))
    spec = save_teacher(teacher, folder / 'teacher.pth', THEIRS)
    student = tiny_detector(family, 18, len(OURS))
    model = build(pair(dict(student, inherit=parts), spec, classes=OURS))
    return (
        model.student.state_dict(),
        build_student(student).state_dict(),
        load_checkpoint(spec['ckpt'])['state_dict'],
    )


def check_rest(after, before, teacher, parts, rows):
    """All but the class layers: the teacher's where it fits."""
    for name, value in after.items():
        if name in rows:
            continue
        inherits = name.split('.')[0] in parts
        fits = name in teacher and teacher[name].shape == value.shape
        source = teacher if inherits and fits else before
        assert torch.equal(value, source[name]), name


def test_box_heads_row_by_row(tmp_path):
    after, before, teacher = of_cards(tmp_path, 'faster_rcnn', TWO_STAGE)
    names = [
        f'roi_head.bbox_head.{layer}.{kind}'
        for layer in ('fc_cls', 'fc_reg')
        for kind in ('weight', 'bias')
    ]
    for name in names:
        for row, (card, known) in enumerate(KNOWN.items()):
            assert card == OURS[row]
            many = 4 if 'fc_reg' in name else 1
            for i in range(many):
                ours = after[name][many * row + i]
                if known is None:
                    expected = before[name][many * row + i]
                else:
                    expected = teacher[name][many * known + i]
                assert torch.equal(ours, expected), (name, card)
        if 'fc_cls' in name:  # the background
            assert torch.equal(after[name][5], teacher[name][4])
    check_rest(after, before, teacher, TWO_STAGE, names)
    # it is about something: widths of the backbones differ
    lateral = 'neck.lateral_convs.0.conv.weight'
    assert torch.equal(after[lateral], before[lateral])
    kept = 'neck.fpn_convs.0.conv.weight'
    assert not torch.equal(after[kept], before[kept])


@pytest.mark.parametrize(
    ('family', 'layer', 'anchors'),
    [
        ('retinanet', 'bbox_head.retina_cls', 9),
        ('gfl', 'bbox_head.gfl_cls', 1),
        ('rtmdet', 'bbox_head.rtm_cls.1', 1),
    ],
)
def test_dense_heads_row_by_row(tmp_path, family, layer, anchors):
    parts = ('neck', 'bbox_head')
    after, before, teacher = of_cards(tmp_path, family, parts)
    names = [f'{layer}.weight', f'{layer}.bias']
    for name in names:
        assert len(after[name]) == anchors * len(OURS)
        for anchor in range(anchors):
            for row, known in enumerate(KNOWN.values()):
                place = anchor * len(OURS) + row
                expected = before[name][place]
                if known is not None:
                    expected = teacher[name][anchor * len(THEIRS) + known]
                assert torch.equal(after[name][place], expected), name
    if family != 'rtmdet':  # its three heads have a class layer each
        check_rest(after, before, teacher, parts, names)


def test_detr(tmp_path):
    parts = ('bbox_head', 'encoder', 'decoder', 'query_embedding')
    after, before, teacher = of_cards(tmp_path, 'detr', parts)
    names = ['bbox_head.fc_cls.weight', 'bbox_head.fc_cls.bias']
    for name in names:
        for row, known in enumerate([*KNOWN.values(), len(THEIRS)]):
            source = (
                before[name][row] if known is None else teacher[name][known]
            )
            assert torch.equal(after[name][row], source)
    check_rest(after, before, teacher, parts, names)


def test_ssd_has_a_background_at_each_anchor():
    match = ClassMatch(OURS, THEIRS)
    rows = class_rows('cls', torch.Size([12, 3]), torch.Size([14, 3]), match)
    ours, theirs, expected = rows
    # 2 anchors of 5 + 1 and 4 + 1 rows
    assert ours.tolist() == [0, 2, 3, 5, 6, 8, 9, 11]
    assert theirs.tolist() == [3, 0, 2, 4, 8, 5, 7, 9]
    assert expected == (10, 3)


@pytest.mark.parametrize(
    ('shape', 'grown'),
    [
        ((30, 3), (33, 3)),  # YOLOv3: 5 rows of boxes before the classes
        ((3, 5), (3, 6)),  # not the rows
        ((7, 3), (8, 3)),  # two rows left over
    ],
)
def test_a_layout_that_is_not_known(shape, grown):
    match = ClassMatch(OURS, THEIRS)
    sizes = torch.Size(shape), torch.Size(grown)
    assert class_rows('pred', *sizes, match) is None


def test_the_same_classes_in_another_order(tmp_path):
    """The shapes are equal; a plain copy would exchange the classes."""
    spec = save_teacher(tiny_spec(50), tmp_path / 't.pth', CLASSES[::-1])
    student = dict(tiny_spec(), inherit=('roi_head',))
    model = build(pair(student, spec, classes=CLASSES))
    teacher = model.teacher.model.roi_head.bbox_head
    ours = model.student.roi_head.bbox_head
    assert torch.equal(ours.fc_cls.bias[:-1], teacher.fc_cls.bias[:-1].flip(0))
    assert torch.equal(ours.fc_cls.bias[-1], teacher.fc_cls.bias[-1])
    boxes, theirs = (
        head.fc_reg.weight.view(len(CLASSES), 4, -1)
        for head in (ours, teacher)
    )
    assert torch.equal(boxes, theirs.flip(0))


@pytest.mark.parametrize('agnostic', ['both', 'student', 'teacher'])
def test_one_box_for_all_classes(tmp_path, agnostic):
    sides = []
    for side, depth, classes in (
        ('student', 18, OURS),
        ('teacher', 50, THEIRS),
    ):
        spec = tiny_detector('faster_rcnn', depth, len(classes))
        spec['roi_head']['bbox_head']['reg_class_agnostic'] = agnostic in (
            side,
            'both',
        )
        sides.append(spec)
    teacher = save_teacher(sides[1], tmp_path / 'teacher.pth', THEIRS)
    spec = dict(sides[0], inherit=TWO_STAGE)
    model = build(pair(spec, teacher, classes=OURS))
    name = 'roi_head.bbox_head.fc_reg.weight'
    source = build_student(sides[0]).state_dict()
    if agnostic == 'both':
        source = load_checkpoint(teacher['ckpt'])['state_dict']
    assert torch.equal(model.student.state_dict()[name], source[name])


def test_a_classifier(tmp_path):
    """Embeddings of equal width; class names are not known."""
    init_default_scope('mmpretrain')
    teacher = save_teacher(tiny_classifier(18), tmp_path / 't.pth')
    student = tiny_classifier(34)
    cfg = pair(dict(student, inherit=('head',)), teacher)
    model = build(cfg)
    expected = load_checkpoint(teacher['ckpt'])['state_dict']
    state = model.student.state_dict()
    assert torch.equal(state['head.fc.weight'], expected['head.fc.weight'])
    before = build_student(student).state_dict()
    for name, value in state.items():
        if not name.startswith('head.'):
            assert torch.equal(value, before[name]), name


@pytest.mark.parametrize(
    'how', [{}, dict(fuse_conv_bn=True, dtype='bfloat16', channels_last=True)]
)
def test_batch_norm_of_a_folded_teacher(tmp_path, how):
    teacher = save_teacher(tiny_spec(18), tmp_path / 't.pth', CLASSES)
    checkpoint = load_checkpoint(teacher['ckpt'])
    state = checkpoint['state_dict']
    for name in state:  # as a trained network has them
        if 'num_batches' in name:
            state[name] += 5
        elif 'running' in name or 'bn' in name:
            state[name] = torch.rand(state[name].shape) + 0.5
    torch.save(checkpoint, teacher['ckpt'])
    student = dict(tiny_spec(), inherit=('backbone', 'roi_head.bbox_head'))
    model = build(pair(student, dict(teacher, **how), classes=CLASSES))
    count = 0
    for name, value in model.student.state_dict().items():
        if name.startswith(('backbone.', 'roi_head.')):
            assert torch.equal(value, state[name]), name
            assert value.dtype == state[name].dtype
            count += 'running_var' in name
    assert count == 20


def test_no_number_is_drawn(teacher):
    build_student(seed=3)
    np.random.seed(0)
    expected = torch.rand(3), np.random.RandomState(0).rand()
    student = dict(tiny_spec(), inherit=TWO_STAGE)
    build(pair(student, teacher, classes=CLASSES[::-1]), seed=3)
    assert torch.equal(torch.rand(3), expected[0])
    assert np.random.rand() == expected[1]


def test_with_a_loss_too(teacher, batch):
    """The teacher runs, and the student computes what it computes alone."""
    student = dict(tiny_spec(), inherit=TWO_STAGE)
    model = build(pair_cfg(teacher, student=student))
    alone = build_student()
    alone.load_state_dict(model.student.state_dict())
    expected = losses_of(alone, batch, seed=5)
    losses = losses_of(model, batch, seed=5)
    for name, value in expected.items():
        assert str(losses[name]) == str(value), name
    assert losses['roi.loss_kd'] > 0
    assert model.teacher.model is not None
    assert not model.teacher.kept
    assert losses_of(model, batch, seed=5).keys() == losses.keys()


def test_the_table(tmp_path):
    spec = save_teacher(
        tiny_detector('faster_rcnn', 50, len(THEIRS)),
        tmp_path / 'teacher.pth',
        THEIRS,
    )
    student = tiny_detector('faster_rcnn', 18, len(OURS))
    cfg = pair(dict(student, inherit=TWO_STAGE), spec, classes=OURS)
    text = str(build(cfg).inheritance)
    assert spec['ckpt'] in text
    # 4 lateral convolutions of 8 layers, each a weight and a bias; a bias
    # fits: 16 x (8 + 16 + 32 + 64) weights of 16 x (120 + 4 + 4 x 145)
    share = 1 - 120 / (120 + 4 + 4 * 145)
    assert re.search(rf'^  neck +12 of 16 +{share:.0%}$', text, re.M)
    assert re.search(r'^  rpn_head +6 of 6 +100%$', text, re.M)
    assert (
        'not copied: lateral_convs.3.conv (16x64x1x1, in the teacher '
        '16x256x1x1)' in text
    )
    assert 'class name: bbox_head.fc_cls, bbox_head.fc_reg' in text
    assert 'no counterpart: (king, queen)' in text


class Trained:
    """A run of inheritance alone that leaves the weights where they were."""

    def __init__(self, shapes, teacher, folder, **changes):
        student = dict(tiny_spec(), inherit=TWO_STAGE)
        model = pair(student, teacher, classes=CLASSES)
        self.cfg = run_cfg(
            model, shapes, folder, optim_wrapper__optimizer__lr=0.0, **changes
        )
        self.cfg.custom_hooks = [
            dict(type='EMAHook', momentum=0.1),
            dict(type='kd_det.TeacherCheckHook', floor=None),
            dict(type='kd_det.FeatureNormHook'),
            dict(type='kd_det.CentroidHook'),
            dict(type='kd_det.GradientShareHook'),
        ]
        self.runner = Runner.from_cfg(self.cfg)


def test_alone_in_a_run(shapes, teacher, tmp_path):
    """The teacher is checked and freed; EMA has the weights too."""
    trained = Trained(shapes, teacher, tmp_path)
    model = trained.runner.model
    calls = count_calls(model.teacher.model.backbone)
    trained.runner.train()
    assert len(calls) == 6  # of the check, at both image sizes
    assert model.teacher.model is None and not model.teacher.kept
    assert model.teacher.classes == CLASSES
    expected = load_checkpoint(teacher['ckpt'])['state_dict']
    state = load_checkpoint(str(tmp_path / 'epoch_1.pth'))['state_dict']
    assert {*state} == {*get_state_dict(build_student())}
    inherited = [
        name
        for name, value in state.items()
        if name.startswith(TWO_STAGE) and value.shape == expected[name].shape
    ]
    assert len(inherited) == 12 + 6 + 8
    for name in inherited:
        assert torch.equal(state[name], expected[name]), name
    # what tests and exports build
    plain = student_of(trained.cfg).model
    assert plain.type == 'FasterRCNN' and 'inherit' not in str(plain)
    MODELS.build(plain).load_state_dict(state)


def test_a_checkpoint_wins(shapes, teacher, tmp_path):
    """One that the run begins with, and one that it goes on from."""
    state = get_state_dict(build_student(seed=8))
    path = tmp_path / 'mine.pth'
    torch.save(dict(meta={}, state_dict=state), path)
    for epochs, changes in (
        (1, dict(load_from=str(path))),
        (2, dict(load_from=f'{tmp_path}/1/epoch_1.pth', resume=True)),
    ):
        trained = Trained(
            shapes,
            teacher,
            tmp_path / str(epochs),
            train_cfg__max_epochs=epochs,
            **changes,
        )
        trained.runner.train()
        assert trained.runner.iter == 6 * epochs
        for name, value in trained.runner.model.student.state_dict().items():
            assert torch.equal(value, state[name]), name


def test_several_teachers(teacher, tmp_path):
    other = save_teacher(tiny_spec(34), tmp_path / 'b.pth', CLASSES, seed=9)
    teachers = dict(a=copy.deepcopy(teacher), b=other)
    student = dict(tiny_spec(), inherit=('rpn_head',), inherit_from='b')
    cfg = pair(student, teachers, classes=CLASSES)
    with pytest.raises(UserError, match="uses the teacher 'a'"):
        build(cfg)
    losses = dict(loss_kd=dict(type='KDLoss'))
    cfg.distillers = dict(
        roi=dict(type='RoIDistiller', teacher='a', losses=losses)
    )
    model = build(cfg)
    state = load_checkpoint(other['ckpt'])['state_dict']
    name = 'rpn_head.rpn_conv.weight'
    assert torch.equal(model.student.state_dict()[name], state[name])
    cfg.student.pop('inherit_from')
    with pytest.raises(
        UserError, match='inherit_from=None; accepted are a, b'
    ):
        build(cfg)


def change(**student):
    return dict(tiny_spec(), **student)


@pytest.mark.parametrize(
    ('student', 'message'),
    [
        (
            change(inherit='neck'),
            "student.inherit='neck'; a tuple of submodule names",
        ),
        (change(inherit=''), "student.inherit=''; a tuple of submodule names"),
        (
            change(inherit=False),
            'student.inherit=False; a tuple of submodule names',
        ),
        (change(inherit_from='a'), "inherit_from='a' has no effect"),
        (
            change(inherit=('neck',), inherit_from=['teacher']),
            r"student.inherit_from=\['teacher'\]; accepted are teacher",
        ),
        (
            change(inherit=(3,)),
            r'student.inherit=\(3,\); a tuple of submodule names',
        ),
        (
            change(inherit=('bbox_head',)),
            "names 'bbox_head', but the student has no weights of that name; "
            'it has backbone, neck, rpn_head, roi_head; did you mean '
            "'roi_head.bbox_head'",
        ),
        (
            change(inherit=('nek',)),
            "names 'nek', but the student.*did you mean 'neck'",
        ),
        (
            change(inherit=('neck',), inherit_from='b'),
            "student.inherit_from='b'; accepted are teacher",
        ),
        (change(), r'distillers=\{\}; a dict of name.*student.inherit'),
        (change(inherit=()), r'distillers=\{\}'),
        (
            change(inherits=('neck',)),
            "'inherits', which nothing reads.*inherit",
        ),
    ],
)
def test_wrong_configs(teacher, student, message):
    with pytest.raises(UserError, match=message):
        build(pair(student, teacher, classes=CLASSES))


def test_a_part_of_which_nothing_fits(teacher):
    spec = tiny_spec(18)
    spec['rpn_head'].update(feat_channels=4)
    student = dict(spec, inherit=('rpn_head.rpn_conv', 'neck'))
    with pytest.raises(
        UserError,
        match=r"'rpn_head.rpn_conv', of which nothing can be copied: .* "
        r'\(4x16x3x3, in the teacher 16x16x3x3\)',
    ):
        build(pair(student, teacher, classes=CLASSES))


def test_a_part_that_the_teacher_lacks(teacher):
    student = tiny_detector('gfl', 18, len(CLASSES))
    cfg = pair(dict(student, inherit=('bbox_head',)), teacher, classes=CLASSES)
    with pytest.raises(
        UserError,
        match="'bbox_head', but the teacher has no weights of that name",
    ):
        build(cfg)


def test_a_teacher_inherits_nothing(teacher):
    cfg = pair_cfg(dict(teacher, inherit=('neck',)))
    with pytest.raises(UserError, match="The teacher has 'inherit', which"):
        build(cfg)
