"""Box deltas of both heads against what the student's own loss is given."""

import pytest
import torch
from test_distillers.test_box_heads import OHEM, PISA, spec
from test_distillers.test_class_match import COCO, OURS
from test_distillers.test_class_match import build as build_matched
from tiny import build, losses_of, pair_cfg, tiny_spec
from torch.nn import functional as F

from kd_det.errors import UserError
from kd_det.testing import (
    save_teacher,
    tiny_batch,
    tiny_detector,
    tiny_pair,
)

BOUNDED = dict(loss_b=dict(type='TeacherBoundedLoss', margin=0.1))
SIDES = 'student', 'teacher'


def roi(**options):
    return dict(type='RoIDistiller', losses=BOUNDED, **options)


def pair(folder, student='faster_rcnn', teacher='faster_rcnn', **options):
    """A pair whose deltas, unlike at the start, are not next to 0."""
    model = build(
        tiny_pair(
            folder,
            student=student,
            teacher=teacher,
            distillers=dict(roi=roi(**options)),
        )
    )
    return lively(model)


def lively(model):
    for network in (model.student, model.teacher.model):
        for name, weight in network.named_parameters():
            if 'fc_reg.weight' in name:
                with torch.no_grad():
                    weight.mul_(300)
    return model


def step(model, batch=None, **kwargs):
    """Losses, fields, and what goes in and out of the heads."""
    seen, heads = {}, []
    model.distill['roi'].register_forward_pre_hook(
        lambda _, args: seen.update(args[0])
    )
    for network in (model.student, model.teacher.model):
        heads.append(given := [])
        modules = network.roi_head.bbox_head
        several = isinstance(modules, torch.nn.ModuleList)
        for head in modules if several else [modules]:
            own = {}
            given.append(own)
            head.register_forward_hook(
                lambda _, args, out, own=own: own.update(deltas=out[1])
            )
            head.loss_bbox.register_forward_pre_hook(
                lambda _, args, own=own: own.setdefault('loss', args)
            )
    batch = batch or tiny_batch(model, size=(96, 128), **kwargs)
    return losses_of(model, batch), seen, heads


def by_hand(rows, labels, background):
    """The four numbers of the label of each row, one by one."""
    found = []
    for row, label in zip(rows, labels.tolist()):
        four = row.view(-1, 4)
        index = label if len(four) > 1 else 0
        found.append(row.new_zeros(4) if label == background else four[index])
    return torch.stack(found)


@pytest.mark.parametrize('family', ['faster_rcnn', 'double_head'])
def test_against_the_heads(tmp_path, family):
    model = pair(tmp_path, family, family)
    losses, seen, heads = step(model)
    labels, foreground = seen['labels'], seen['foreground']
    assert 0 < foreground.sum() < len(labels)
    for side, (own,) in zip(SIDES, heads):
        expected = by_hand(own['deltas'], labels, 6)
        torch.testing.assert_close(seen[f'{side}_deltas'], expected)
    # the student's loss was given the same, in the same order
    deltas, targets, *_ = heads[0][0]['loss']
    torch.testing.assert_close(seen['student_deltas'][foreground], deltas)
    torch.testing.assert_close(seen['target_deltas'][foreground], targets)
    assert not seen['target_deltas'][~foreground].any()
    # and is an average over all RoIs, too
    plain = {
        'L1Loss': F.l1_loss,
        'SmoothL1Loss': F.smooth_l1_loss,
    }[type(model.student.roi_head.bbox_head.loss_bbox).__name__]
    weight = model.student.roi_head.bbox_head.loss_bbox.loss_weight
    whole = plain(
        seen['student_deltas'], seen['target_deltas'], reduction='sum'
    )
    torch.testing.assert_close(
        losses['loss_bbox'], weight * whole / len(labels)
    )
    losses['roi.loss_b'].backward()
    head = model.student.roi_head.bbox_head
    assert head.fc_reg.weight.grad.abs().max() > 0
    assert head.fc_cls.weight.grad is None
    assert all(p.grad is None for p in model.teacher.parameters())


def test_a_cascade(tmp_path):
    """Each stage with the teacher's head of that stage, one box for all."""
    model = pair(tmp_path, 'cascade_rcnn', 'cascade_rcnn')
    losses, seen, heads = step(model)
    for side, stages in zip(SIDES, heads):
        rows = torch.cat([own['deltas'] for own in stages])
        expected = by_hand(rows, seen['labels'], 6)
        torch.testing.assert_close(seen[f'{side}_deltas'], expected)
    targets = torch.cat([own['loss'][1] for own in heads[0]])
    foreground = seen['foreground']
    torch.testing.assert_close(seen['target_deltas'][foreground], targets)
    assert losses['roi.loss_b'] > 0
    # each stage has other units
    with pytest.raises(UserError, match=r'0\.05, .*0\.1, .*such as stage=0'):
        pair(tmp_path, 'cascade_rcnn')


def test_heads_that_run_their_losses_twice(teacher, batch):
    """OHEM on candidates first, PISA once more on weighted ones."""
    for student in (spec(sampler=OHEM), PISA):
        model = lively(build(pair_cfg(teacher, BOUNDED, student=student)))
        _, seen, heads = step(model, batch)
        deltas, targets, *_ = heads[0][0]['loss']
        foreground = seen['foreground']
        assert 0 < len(deltas) == foreground.sum() < len(foreground)
        torch.testing.assert_close(seen['student_deltas'][foreground], deltas)
        torch.testing.assert_close(seen['target_deltas'][foreground], targets)


def test_images_without_objects(tmp_path):
    losses, seen, _ = step(pair(tmp_path), without_objects=(0, 1))
    assert len(seen['labels']) > 0 and not seen['foreground'].any()
    for field in ('student_deltas', 'teacher_deltas', 'target_deltas'):
        assert seen[field].shape == (len(seen['labels']), 4)
        assert not seen[field].any()
    losses['roi.loss_b'].backward()
    assert losses['roi.loss_b'] == 0


def test_other_class_lists(tmp_path):
    """The teacher's box of the class of that name; other RoIs are left out."""
    teacher = save_teacher(
        tiny_detector('faster_rcnn', 50, len(COCO)), tmp_path / 't.pth', COCO
    )
    student = tiny_detector('faster_rcnn', num_classes=len(OURS))
    model = lively(build_matched(student, teacher, dict(roi=roi())))
    losses, seen, heads = step(model, num_classes=len(OURS))
    names = [name.replace('_', ' ').casefold() for name in OURS]
    total, count = 0.0, 0
    theirs = heads[1][0]['deltas']
    for row, label in enumerate(seen['labels'].tolist()):
        count += 1
        if label == len(OURS):
            continue
        if names[label] not in COCO:
            count -= 1
            continue
        other = theirs[row].view(-1, 4)[COCO.index(names[label])]
        target = seen['target_deltas'][row]
        error = (seen['student_deltas'][row] - target).square().sum().item()
        if error + 0.1 > (other - target).square().sum().item():
            total += error
    assert count < len(seen['labels'])
    assert losses['roi.loss_b'].item() == pytest.approx(
        0.5 * total / count, rel=1e-5
    )


def student(**head):
    spec = tiny_spec()
    spec['roi_head']['bbox_head'].update(head)
    return spec


STDS = dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.1, 0.1])


@pytest.mark.parametrize(
    'head, message',
    [
        (dict(with_reg=False), 'Shared2FCBBoxHead has no box regression la'),
        (
            dict(
                reg_decoded_bbox=True,
                loss_bbox=dict(type='GIoULoss', _delete_=True),
            ),
            'has reg_decoded_bbox=True, so its targets are boxes; set',
        ),
        (
            dict(bbox_coder=STDS),
            r'target_stds=\(0.1, 0.1, 0.1, 0.1\).*\(0.1, 0.1, 0.2, 0.2\).*; '
            'give both heads the same one',
        ),
    ],
)
def test_refusals(teacher, head, message):
    with pytest.raises(UserError, match=message) as caught:
        build(pair_cfg(teacher, BOUNDED, student=student(**head)))
    assert '\n' not in str(caught.value)


def test_nothing_is_read_that_no_loss_asks_for(teacher):
    model = build(pair_cfg(teacher, student=student(with_reg=False)))
    assert not {'deltas0', 'box_targets0'} & {*model.distill['roi'].points}
