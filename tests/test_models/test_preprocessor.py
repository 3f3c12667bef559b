"""Each network gets the image normalised its own way."""

import copy
import os
from pathlib import Path

import pytest
import torch
from convert_cifar_sheets import read_sheets
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from tiny import build, losses_of, pair_cfg, tiny_spec, total

from kd_det.config import load_config
from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.testing import save_teacher, tiny_classifier_pair

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


def spec_of(depth, channels):
    """A tiny detector of grey images or colour images."""
    spec = tiny_spec(depth)
    if channels == 3:
        return spec
    return dict(
        spec,
        backbone=dict(spec['backbone'], in_channels=1),
        data_preprocessor=dict(mean=[127.0], std=[60.0], bgr_to_rgb=False),
    )


@pytest.mark.parametrize('student, teacher', [(1, 3), (3, 1)])
def test_a_grey_network_and_one_of_colours(tmp_path, student, teacher):
    spec = save_teacher(spec_of(50, teacher), tmp_path / 'teacher.pth')
    with pytest.raises(UserError) as caught:
        build(pair_cfg(spec, student=spec_of(18, student)))
    grey, colour = ('student', 'teacher')[:: 1 if student == 1 else -1]
    text = str(caught.value)
    assert f'The {grey} takes grey images (1 channel), the {colour} ' in text
    assert "color_type='color'" in text and 'in_channels=3' in text


def test_two_grey_networks(tmp_path, batch):
    spec = save_teacher(spec_of(50, 1), tmp_path / 'teacher.pth')
    model = build(pair_cfg(spec, student=spec_of(18, 1)))
    grey = copy.deepcopy(batch)
    grey['inputs'] = [image[:1] for image in grey['inputs']]
    assert total(model, losses_of(model, grey)).isfinite()


def test_equal_preprocessing_shares_the_tensor(teacher, batch):
    model = build(pair_cfg(dict(teacher, exact=True)))  # in one layout
    assert not model.data_preprocessor.differing
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
    assert model.data_preprocessor.differing
    theirs = model.teacher.model.data_preprocessor
    ours = model.student.data_preprocessor
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    expected = theirs(copy.deepcopy(batch), False)['inputs']
    alone = ours(copy.deepcopy(batch), True)
    assert torch.equal(data['teacher_inputs']['teacher'], expected)
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


RESIZE = dict(
    type='BatchSyncRandomResize', random_size_range=(64, 128), interval=1
)


def test_resized_images_need_one_preprocessing(tmp_path):
    student = tiny_spec()
    student['data_preprocessor'] = dict(
        batch_augments=[RESIZE], mean=[1.0] * 3
    )
    teacher = save_teacher(tiny_spec(50), tmp_path / 't.pth')
    message = r'\(data_preprocessor.batch_augments\).* remove data_prep.* from'
    with pytest.raises(UserError, match=message):
        build(pair_cfg(teacher, student=student))


def test_the_students_own_augmentation_is_in_no_way_of_sharing(tmp_path):
    """Batch augmentation resizes the one tensor that both then read."""
    student = tiny_spec()
    student['data_preprocessor'] = dict(batch_augments=[RESIZE])
    teacher = save_teacher(tiny_spec(50), tmp_path / 't.pth')
    assert not build(
        pair_cfg(teacher, student=student)
    ).data_preprocessor.differing


def classifiers(tmp_path, **student):
    """A pair of classifiers, the student changed."""
    distiller = dict(
        type='LogitDistiller', losses=dict(loss_kd=dict(type='KDLoss'))
    )
    cfg = tiny_classifier_pair(tmp_path, dict(logit=distiller))
    cfg.student.update(student)
    init_default_scope('mmpretrain')
    return MODELS.build(cfg)


OTHER = dict(num_classes=10, mean=[120.0, 110.0, 100.0], std=[60.0] * 3)
MIXUP = dict(augments=[dict(type='Mixup', alpha=0.8)])


def test_a_classifier_of_other_constants_gets_its_own_tensor(tmp_path):
    model = classifiers(tmp_path, data_preprocessor=OTHER)
    assert model.data_preprocessor.differing
    image = torch.arange(3 * 32 * 32).reshape(3, 32, 32) % 256
    samples = [DataSample().set_gt_label(1)]
    data = model.data_preprocessor(
        dict(inputs=[image], data_samples=samples), True
    )
    mean = torch.tensor(OTHER['mean'])[:, None, None]
    torch.testing.assert_close(data['inputs'][0], (image - mean) / 60)
    torch.testing.assert_close(
        data['teacher_inputs']['teacher'][0], (image - 127.5) / 64
    )


def test_mixed_images_need_one_preprocessing(tmp_path):
    with pytest.raises(UserError, match=r'mixes .*\(train_cfg.augments\)'):
        classifiers(tmp_path, data_preprocessor=OTHER, train_cfg=MIXUP)
    assert not classifiers(
        tmp_path, train_cfg=MIXUP
    ).data_preprocessor.differing


@pytest.mark.skipif(
    'KD_DET_DATA' not in os.environ,
    reason='KD_DET_DATA names no folder with CIFAR-10 and its teachers',
)
def test_given_teacher_keeps_its_accuracy_in_a_pair(tmp_path):
    """The student has CIFAR's constants, the teacher wants ImageNet's."""
    folder = Path(os.environ['KD_DET_DATA'])
    ckpt = folder / 'teachers_cifar10/resnet56-4bfd9763.th'
    config = Path(__file__).parents[2] / 'configs/cifar'
    cfg = load_config(
        str(config / 'kd_resnet56_resnet8_cifar10.py'),
        {'model.teacher.ckpt': str(ckpt)},
    )
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    assert model.data_preprocessor.differing
    images, labels = read_sheets(folder / 'cifar10', 'test')
    inputs = torch.from_numpy(images[:500]).permute(0, 3, 1, 2)
    samples = [DataSample().set_gt_label(int(label)) for label in labels[:500]]
    data = model.data_preprocessor(
        dict(inputs=list(inputs), data_samples=samples), True
    )
    seen = {}
    model.distill['logit'].register_forward_pre_hook(
        lambda _, args: seen.update(args[0])
    )
    with torch.no_grad():
        model(**data, mode='loss')
    right = seen['teacher_logits'].argmax(1) == seen['labels']
    alone = model.teacher.model(
        data['teacher_inputs']['teacher'], mode='tensor'
    )
    assert torch.equal(alone.argmax(1), seen['teacher_logits'].argmax(1))
    assert right.float().mean() > 0.92
