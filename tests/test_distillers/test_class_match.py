"""Class lists matched by name: rows, columns, labels, several teachers."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from kd_det.distillers.class_match import ClassMatch, match_classes
from kd_det.errors import UserError
from kd_det.functional import kd_loss
from kd_det.registry import MODELS
from kd_det.testing import (
    save_teacher,
    tiny_batch,
    tiny_classifier,
    tiny_detector,
)

COCO = ('person', 'bicycle', 'car', 'motorcycle', 'traffic light', 'dog')
OURS = ('Dog', 'kiosk', 'traffic_light', 'person')
# the common ones in our order, as indices of both lists
PAIRS = [(0, 5), (2, 4), (3, 0)]


def test_match():
    match = match_classes(OURS, COCO)
    assert match.pairs == tuple((OURS[i], COCO[j]) for i, j in PAIRS)
    assert match.absent == ('kiosk',)
    assert 'kiosk <- nothing' in str(match)
    assert match_classes(OURS, OURS) is None
    spelt = ('dog', 'KIOSK', 'traffic light', 'person')
    assert match_classes(OURS, spelt) is None
    assert match_classes((), COCO) is match_classes(OURS, ()) is None
    with pytest.raises(UserError, match='no class in common: .*teacher.class'):
        match_classes(('a', 'b'), ('c',))


@pytest.mark.parametrize(
    'ours, theirs, message',
    [
        (('dog', 'cat'), ('cat', 'dog', 'cat'), "teacher's .*'cat' and 'cat'"),
        (('cat', 'cat', 'dog'), ('dog', 'cat'), "student's .*'cat' and 'cat'"),
        (
            ('traffic light',),
            ('traffic_light', 'dog', 'Traffic Light'),
            "'traffic_light' and 'Traffic Light', which are equal",
        ),
    ],
)
def test_a_name_that_occurs_twice(ours, theirs, message):
    with pytest.raises(UserError, match=message) as caught:
        match_classes(ours, theirs)
    assert '\n' not in str(caught.value)


def test_a_name_twice_that_nothing_hangs_on():
    assert match_classes(('dog',), ('cat', 'dog', 'cat')).pairs
    assert match_classes(('cat', 'cat', 'dog'), ('dog',)).pairs
    assert match_classes(('cat', 'cat'), ('cat', 'Cat')) is None


@pytest.mark.parametrize('background', [False, True])
def test_rows_columns_and_labels_against_a_loop(background):
    generator = torch.Generator().manual_seed(0)
    match = ClassMatch(OURS, COCO)
    n, extra = 12, int(background)
    labels = torch.randint(0, len(OURS) + extra, (n,), generator=generator)
    s = torch.randn(n, len(OURS) + extra, generator=generator)
    t = torch.randn(n, len(COCO) + extra, generator=generator)
    embed = torch.randn(n, 3, generator=generator)
    means = torch.randn(len(OURS) + extra, 3, generator=generator)
    got = match(
        dict(
            student_logits=s,
            teacher_logits=t,
            cross_logits=t,
            student_embed=embed,
            labels=labels,
            centroids=means,
        )
    )
    ours, theirs = zip(*PAIRS)
    if background:
        ours, theirs = (*ours, len(OURS)), (*theirs, len(COCO))
    rows = [i for i, y in enumerate(labels.tolist()) if y in ours]
    assert len(rows) < n
    for key, table, columns in (
        ('student_logits', s, ours),
        ('teacher_logits', t, theirs),
        ('cross_logits', t, theirs),
    ):
        expected = [[table[i, c].item() for c in columns] for i in rows]
        assert got[key].tolist() == expected
    assert got['labels'].tolist() == [ours.index(labels[i]) for i in rows]
    assert torch.equal(got['student_embed'], embed[rows])
    assert torch.equal(got['centroids'], means[list(ours)])


def test_predictions_of_the_teacher():
    class Sample(dict):
        __getattr__ = dict.__getitem__
        __setattr__ = dict.__setitem__

    found = InstanceData(
        labels=torch.tensor([0, 1, 4, 5]), scores=torch.arange(4.0)
    )
    sample = ClassMatch(OURS, COCO).translate(Sample(pred_instances=found))
    assert sample.pred_instances.labels.tolist() == [3, 2, 0]
    assert sample.pred_instances.scores.tolist() == [0, 2, 3]


def build(student, teacher, distillers, classes=OURS):
    init_default_scope(student.get('_scope_', 'mmdet'))
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            _scope_='kd_det',
            type='DistillModel',
            student=student,
            teacher=teacher,
            distillers=distillers,
            classes=classes,
        )
    )
    model.init_weights()
    with torch.no_grad():
        for frozen in model.teachers.values():
            for weight in frozen.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.05)
    return model.train()


def step(model, **kwargs):
    """Losses and the knowledge before it is cut to the common classes."""
    kwargs = dict(dict(num_classes=len(OURS), num_images=3), **kwargs)
    data = model.data_preprocessor(tiny_batch(model, **kwargs), True)
    seen, handles = {}, []
    for name, distiller in model.distill.items():

        def keep(_, args, name=name):
            seen[name] = args[0]

        handles.append(distiller.register_forward_pre_hook(keep))
    torch.manual_seed(0)
    losses = model(**data, mode='loss')
    for handle in handles:
        handle.remove()
    return losses, seen


@pytest.mark.parametrize(
    'family, distiller',
    [('faster_rcnn', 'RoIDistiller'), ('gfl', 'DenseDistiller')],
)
def test_a_teacher_of_more_classes(tmp_path, family, distiller):
    many = tuple(f'thing {i}' for i in range(74)) + COCO
    teacher = save_teacher(
        tiny_detector(family, 50, len(many)), tmp_path / 't.pth', many
    )
    own = dict(type=distiller, losses=dict(loss_kd=dict(type='KDLoss')))
    model = build(
        tiny_detector(family, num_classes=len(OURS)), teacher, dict(own=own)
    )
    losses, seen = step(model)
    seen = seen['own']
    ours = [i for i, _ in PAIRS]
    theirs = [74 + j for _, j in PAIRS]
    if family == 'faster_rcnn':
        ours, theirs = [*ours, len(OURS)], [*theirs, len(many)]
    rows = [i for i, y in enumerate(seen['labels'].tolist()) if y in ours]
    assert 0 < len(rows) < len(seen['labels'])
    expected = kd_loss(
        seen['student_logits'][rows][:, ours],
        seen['teacher_logits'][rows][:, theirs],
    ).mean()
    torch.testing.assert_close(losses['own.loss_kd'], expected)


def test_nd_of_other_lists(tmp_path):
    """The class means are by the classes of the run."""
    from kd_det.centroids import CentroidBank

    teacher = save_teacher(
        tiny_detector('faster_rcnn', 50, len(COCO)), tmp_path / 't.pth', COCO
    )
    file = tmp_path / 'bank.npz'
    rows = len(OURS) + 1
    means = np.random.default_rng(0).random((rows, 32), np.float32)
    CentroidBank(means, np.ones(rows, np.int64), ()).save(file)
    roi = dict(
        type='RoIDistiller',
        losses=dict(loss_fdr=dict(type='FDRCosineLoss')),
        centroids=str(file),
    )
    student = tiny_detector('faster_rcnn', num_classes=len(OURS))
    losses, seen = step(build(student, teacher, dict(roi=roi)))
    seen = seen['roi']
    known = seen['labels'] != 1  # the kiosk
    cosine = torch.cosine_similarity(
        seen['student_embed'][known],
        torch.from_numpy(means)[seen['labels'][known]],
    )
    torch.testing.assert_close(losses['roi.loss_fdr'], (1 - cosine).mean())


def test_classifiers(tmp_path):
    from mmpretrain.structures import DataSample

    teacher = save_teacher(
        tiny_classifier(18, len(COCO)), tmp_path / 't.pth', COCO
    )
    logit = dict(
        type='LogitDistiller', losses=dict(loss_kd=dict(type='KDLoss'))
    )
    model = build(tiny_classifier(18, len(OURS)), teacher, dict(logit=logit))
    seen = {}
    model.distill['logit'].register_forward_pre_hook(
        lambda _, args: seen.update(args[0])
    )
    labels = [0, 1, 2, 3]
    batch = dict(
        inputs=[torch.randint(0, 256, (3, 32, 32)).byte() for _ in labels],
        data_samples=[DataSample().set_gt_label(y) for y in labels],
    )
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    rows = [0, 2, 3]
    ours, theirs = map(list, zip(*PAIRS))
    expected = kd_loss(
        seen['student_logits'][rows][:, ours],
        seen['teacher_logits'][rows][:, theirs],
    ).mean()
    torch.testing.assert_close(losses['logit.loss_kd'], expected)


def test_counts_and_names(tmp_path):
    nameless = save_teacher(
        tiny_detector('faster_rcnn', 50, len(OURS)), tmp_path / 'a.pth'
    )
    kd = dict(type='RoIDistiller', losses=dict(loss_kd=dict(type='KDLoss')))
    student = tiny_detector('faster_rcnn', num_classes=len(OURS))
    model = build(student, nameless, dict(roi=kd))
    assert model.distill['roi'].match is None
    more = save_teacher(
        tiny_detector('faster_rcnn', 50, len(COCO)), tmp_path / 'b.pth'
    )
    with pytest.raises(UserError, match='4 classes, the teacher 6.*not both'):
        build(student, more, dict(roi=kd))
    named = dict(more, classes=COCO)
    model = build(student, named, dict(roi=kd))
    assert len(model.distill['roi'].match.names) == 3
    with pytest.raises(UserError, match='lists of names 4 and 2'):
        build(student, dict(more, classes=COCO[::5]), dict(roi=kd))


@pytest.fixture
def two(tmp_path):
    """A student of two classes, and a teacher of each."""
    teachers = {}
    for name, mean in (('cat', 0.0), ('dog', 127.5)):
        spec = tiny_detector('faster_rcnn', 50, 1)
        spec['data_preprocessor'] = dict(mean=[mean] * 3, std=[64.0] * 3)
        teachers[name] = save_teacher(
            spec, tmp_path / f'{name}.pth', (name,), seed=len(teachers)
        )
    kd = dict(type='RoIDistiller', losses=dict(loss_kd=dict(type='KDLoss')))
    distillers = {f'{n}s': dict(kd, teacher=n) for n in teachers}
    student = tiny_detector('faster_rcnn', num_classes=2)
    return student, teachers, distillers


def test_two_teachers_of_one_class_each(two):
    model = build(*two, classes=('dog', 'cat'))
    assert model.listens_to == dict(cats='cat', dogs='dog')
    losses, seen = step(model, num_classes=2)
    for name, column in (('cats', 1), ('dogs', 0)):
        rows = [
            i
            for i, y in enumerate(seen[name]['labels'].tolist())
            if y in (column, 2)
        ]
        expected = kd_loss(
            seen[name]['student_logits'][rows][:, [column, 2]],
            seen[name]['teacher_logits'][rows],
        ).mean()
        torch.testing.assert_close(losses[f'{name}.loss_kd'], expected)


def test_each_teacher_has_its_own_preprocessing(two):
    model = build(*two, classes=('dog', 'cat'))
    batch = tiny_batch(model, num_classes=2)
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    for name, mean in (('cat', 0.0), ('dog', 127.5)):
        image = batch['inputs'][0].float()[[2, 1, 0]]  # BGR to RGB
        own = data['teacher_inputs'][name][0, :, :64, :96]
        torch.testing.assert_close(own, (image - mean) / 64)


def test_teachers_stay_out_of_the_checkpoint_and_follow(two):
    model = build(*two, classes=('dog', 'cat'))
    plain = {*model.student.state_dict()}
    assert {*model.state_dict()} == plain
    again = copy.deepcopy(model)
    assert again.teachers['cat'] is model.teachers['cat']
    model.to(torch.float64)
    for teacher in model.teachers.values():
        assert next(teacher.parameters()).dtype == torch.float64
    with pytest.raises(ValueError, match='too many values'):
        model.teacher  # noqa: B018  there is not one


@pytest.mark.parametrize(
    'teacher, message',
    [
        ('dgo', "teacher='dgo'; accepted are cat, dog; did you mean 'dog'"),
        (None, 'teacher=None; accepted are cat, dog'),
    ],
)
def test_unknown_teachers(two, teacher, message):
    student, teachers, distillers = two
    distillers['cats']['teacher'] = teacher
    with pytest.raises(UserError, match=message):
        build(student, teachers, distillers, ('dog', 'cat'))


def test_gradients_add_up_over_two_steps(two):
    """MMEngine's accumulation, with two teachers."""
    from mmengine.optim import OptimWrapper

    model = build(*two, classes=('dog', 'cat'))
    before = model.student.backbone.conv1.weight.clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    wrapper = OptimWrapper(optimizer, accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    batch = tiny_batch(model, num_classes=2)
    model.train_step(copy.deepcopy(batch), wrapper)
    assert torch.equal(model.student.backbone.conv1.weight, before)
    logs = model.train_step(copy.deepcopy(batch), wrapper)
    assert not torch.equal(model.student.backbone.conv1.weight, before)
    assert {'cats.loss_kd', 'dogs.loss_kd'} <= {*logs}


def test_labels_of_mixed_images():
    ours, theirs = ('cat', 'dog', 'cow'), ('cow', 'cat', 'dog', 'pig')
    labels, logits = torch.rand(5, 3), torch.rand(5, 4)
    fields = dict(labels=labels, teacher_logits=logits)
    cut = ClassMatch(ours, theirs)(fields)
    assert torch.equal(cut['labels'], labels)
    assert torch.equal(cut['teacher_logits'], logits[:, [1, 2, 0]])
    with pytest.raises(UserError, match=r'mixed images .* it lacks cow: use'):
        ClassMatch(ours, theirs[1:])(fields)
