"""Images are normalised once, and as what they are."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine.registry import init_default_scope
from torch import nn

from kd_det.errors import UserError
from kd_det.preflight.normalisation import (
    check_normalisation,
    check_range,
)

USUAL = dict(mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4])
UNIT = dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
BEFORE = ['LoadImageFromFile', 'LoadAnnotations', 'Resize', 'PackDetInputs']


class Run(dict):
    """What the check reads of a runner."""

    def __init__(self, model, **steps):
        self.model = model
        for split in ('train', 'val'):
            pipeline = [dict(type=t) for t in steps.get(split, BEFORE)]
            leaf = dict(type='CocoDataset', pipeline=pipeline)
            wrapped = dict(type='RepeatDataset', dataset=leaf)
            self[f'{split}_dataloader'] = dict(dataset=wrapped)


def network(**cfg):
    model = nn.Module()
    model.data_preprocessor = DetDataPreprocessor(**cfg)
    return model


def pair(student, teacher):
    pair = nn.Module()
    pair.student = network(**student)
    pair.teachers = dict(large=SimpleNamespace(model=network(**teacher)))
    return pair


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmdet')


@pytest.mark.parametrize(
    ('cfg', 'steps'),
    [
        (USUAL, BEFORE),
        ({}, [*BEFORE, 'Normalize']),
        (dict(mean=[0, 0, 0], std=[1, 1, 1]), [*BEFORE, 'Normalize']),
        (dict(mean=[123, 116, 103], std=[1, 1, 1]), BEFORE),  # of Caffe
    ],
)
def test_right_ones(cfg, steps):
    check_normalisation(Run(network(**cfg), train=steps, val=steps))


@pytest.mark.parametrize('split', ['train', 'val'])
def test_twice(split):
    steps = {split: [*BEFORE, 'Normalize']}
    message = rf'of {split}_dataloader normalises .* of the model does so'
    with pytest.raises(UserError, match=message):
        check_normalisation(Run(network(**USUAL), **steps))


@pytest.mark.parametrize(
    ('networks', 'name'),
    [((UNIT, USUAL), 'student'), ((USUAL, UNIT), 'large')],
)
def test_means_of_images_from_0_to_1(networks, name):
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    check_range(pair(USUAL, USUAL), image)
    check_range(pair(*networks), image.float())  # whose range is not known
    message = rf'the {name} has mean=\[0.485, .* multiply both by 255'
    with pytest.raises(UserError, match=message):
        check_range(pair(*networks), image)
