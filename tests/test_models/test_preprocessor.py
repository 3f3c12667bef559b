"""Each network gets the image normalised its own way."""

import copy

import pytest
import torch
from tiny import build, losses_of, pair_cfg, tiny_spec

from kd_det.testing import save_teacher

OWN = dict(
    type='DetDataPreprocessor',
    mean=[103.53, 116.28, 123.675],
    std=[1.0, 1.0, 1.0],
    bgr_to_rgb=False,
    pad_size_divisor=32,
)


def pair(tmp_path, **change):
    """A pair whose teacher's preprocessor differs by ``change``."""
    spec = dict(tiny_spec(50), data_preprocessor=change)
    return build(pair_cfg(save_teacher(spec, tmp_path / 'teacher.pth')))


def test_equal_preprocessing_shares_the_tensor(teacher, batch):
    model = build(pair_cfg(teacher))
    assert model.data_preprocessor.shared
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    assert 'teacher_inputs' not in data
    seen = []
    model.teacher.model.backbone.register_forward_pre_hook(
        lambda _, args: seen.append(args[0])
    )
    model(**data, mode='loss')
    assert seen[0] is data['inputs']


@pytest.mark.parametrize(
    'change',
    [
        dict(mean=OWN['mean']),
        dict(std=OWN['std']),
        dict(bgr_to_rgb=False),
        dict(pad_size_divisor=96),
        dict(pad_value=114),
        OWN,
    ],
)
def test_a_teacher_gets_its_own_tensor(tmp_path, batch, change):
    model = pair(tmp_path, **change)
    assert not model.data_preprocessor.shared
    theirs = model.teacher.model.data_preprocessor
    ours = model.student.data_preprocessor
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    expected = theirs(copy.deepcopy(batch), False)['inputs']
    alone = ours(copy.deepcopy(batch), True)
    assert torch.equal(data['teacher_inputs'], expected)
    assert torch.equal(data['inputs'], alone['inputs'])
    seen = []
    model.teacher.model.backbone.register_forward_pre_hook(
        lambda _, args: seen.append(args[0])
    )
    losses = model(**data, mode='loss')
    assert torch.equal(seen[0], expected)
    assert losses['roi.loss_kd'].isfinite()


def test_teacher_sees_what_it_would_see_alone(tmp_path, batch):
    """Its features in a step are those of its own preprocessing."""
    model = pair(tmp_path, **OWN)
    frozen, feats = model.teacher, []
    extract = frozen.extract_feat
    frozen.extract_feat = lambda x: feats.append(extract(x)) or feats[-1]
    losses_of(model, batch)
    alone = frozen.model.data_preprocessor(copy.deepcopy(batch), False)
    for ours, expected in zip(feats[0], extract(alone['inputs'])):
        assert torch.equal(ours, expected)


def test_the_samples_are_the_students(tmp_path, batch):
    model = pair(tmp_path, **OWN)
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    alone = model.student.data_preprocessor(copy.deepcopy(batch), True)
    assert {*data} == {*alone, 'teacher_inputs'}
    for ours, expected in zip(data['data_samples'], alone['data_samples']):
        assert ours.metainfo == expected.metainfo
        assert torch.equal(
            ours.gt_instances.bboxes, expected.gt_instances.bboxes
        )


def test_nothing_extra_without_training(tmp_path, batch):
    model = pair(tmp_path, **OWN)
    assert 'teacher_inputs' not in model.data_preprocessor(batch, False)


def test_the_students_own_augmentation_is_in_no_way_of_sharing(tmp_path):
    """Batch augmentation resizes the one tensor that both then read."""
    student = tiny_spec()
    student['data_preprocessor'] = dict(
        batch_augments=[
            dict(
                type='BatchSyncRandomResize',
                random_size_range=(64, 128),
                interval=1,
            )
        ]
    )
    teacher = save_teacher(tiny_spec(50), tmp_path / 't.pth')
    assert build(pair_cfg(teacher, student=student)).data_preprocessor.shared
