"""MaskDistiller on real Mask R-CNNs: the same RoIs, the same class."""

import pytest
import torch
from tiny import build

from kd_det.errors import UserError
from kd_det.testing import tiny_batch, tiny_detector, tiny_pair

LOSSES = dict(loss_kd=dict(type='kd_det.MaskKDLoss'))
OURS, THEIRS = ('a', 'b', 'c'), ('c', 'x', 'b')
SIZE = 96, 128


def pair(folder, student=None, teacher='mask_rcnn', **options):
    cfg = tiny_pair(
        folder,
        student=student or tiny_detector('mask_rcnn', 18, 3),
        teacher=tiny_detector(teacher, 50, 3),
        distillers=dict(mask=dict(type='MaskDistiller', losses=LOSSES)),
    )
    cfg.update(options)
    return build(cfg)


def step(model, **kwargs):
    """Losses, the distiller's fields, and the student's RoIs and labels."""
    seen, given = {}, {}
    head = model.student.roi_head
    handles = [
        model.distill['mask'].register_forward_pre_hook(
            lambda _, args: seen.update(args[0])
        ),
        head.mask_roi_extractor.register_forward_pre_hook(
            lambda _, args: given.update(rois=args[1])
        ),
        head.mask_head.register_forward_hook(
            lambda _, args, out: given.update(masks=out)
        ),
        head.mask_head.loss_mask.register_forward_pre_hook(
            lambda _, args: given.update(labels=args[2])
        ),
    ]
    batch = tiny_batch(model, size=SIZE, num_classes=3, **kwargs)
    data = model.data_preprocessor(batch, True)
    losses = model(**data, mode='loss')
    for handle in handles:
        handle.remove()
    return losses, seen, given, data


@pytest.mark.parametrize('names', [None, THEIRS], ids=['same', 'by name'])
def test_masks_of_the_annotated_class(tmp_path, names):
    options = {}
    if names:
        options = dict(classes=OURS)
    model = pair(tmp_path, **options)
    if names:
        distiller = model.distill['mask']
        model.teacher.classes = names
        distiller.match_up(OURS, model.teacher)
    losses, seen, given, data = step(model)
    assert losses['mask.loss_kd'] > 0
    with torch.no_grad():
        feats = model.teacher.extract_feat(data['inputs'])
        head = model.teacher.model.roi_head
        theirs = head._mask_forward(feats, given['rois'])['mask_preds']
    expected = dict(student_masks=[], teacher_masks=[])
    for row, label in enumerate(given['labels'].tolist()):
        other = label
        if names:
            if OURS[label] not in names:
                continue
            other = names.index(OURS[label])
        expected['student_masks'].append(given['masks'][row, label])
        expected['teacher_masks'].append(theirs[row, other])
    assert not names or len(expected['student_masks']) < len(given['labels'])
    for field, masks in expected.items():
        torch.testing.assert_close(seen[field], torch.stack(masks))
    losses['mask.loss_kd'].backward()
    last = model.student.roi_head.mask_head.conv_logits
    assert last.weight.grad.abs().max() > 0
    assert all(p.grad is None for p in model.teacher.parameters())


def test_images_without_objects(tmp_path):
    losses, seen, *_ = step(pair(tmp_path), without_objects=(0, 1))
    assert len(seen['student_masks']) == 0
    assert losses['mask.loss_kd'] == 0
    losses['mask.loss_kd'].backward()


def agnostic():
    spec = tiny_detector('mask_rcnn', 18, 3)
    spec['roi_head']['mask_head']['class_agnostic'] = True
    return spec


@pytest.mark.parametrize(
    'student, teacher, message',
    [
        (
            tiny_detector('faster_rcnn', 18, 3),
            'mask_rcnn',
            'the student FasterRCNN has none; use RoIDistiller',
        ),
        (None, 'gfl', 'the teacher GFL has none'),
        (agnostic(), 'mask_rcnn', "of the student's to False"),
    ],
)
def test_refusals(tmp_path, student, teacher, message):
    with pytest.raises(UserError, match=message):
        pair(tmp_path, student, teacher)
