"""Weights of public layouts load exactly, and give the same logits."""

import functools
import os
from pathlib import Path

import public_networks as public
import pytest
import torch
from convert_cifar_sheets import read_sheets

from kd_det.checkpoint import load_checkpoint
from kd_det.errors import UserError
from kd_det.models.key_mappings import KEY_MAPPINGS
from kd_det.models.teacher import load_exactly
from kd_det.registry import MODELS

DATA = os.environ.get('KD_DET_DATA', '')
WIDE = (32, 64, 128, 256)


def classifier(backbone: dict, width: int, num_classes: int = 10):
    """Build an mmpretrain classifier around a backbone."""
    cfg = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead', in_channels=width, num_classes=num_classes
        ),
    )
    return MODELS.build(cfg).eval()


def case(oracle, width, side=16, keys='repdistiller', **backbone):
    kind = backbone['type']
    label = '-'.join([kind, *map(str, list(backbone.values())[1:])])
    return pytest.param(oracle, width, side, keys, backbone, id=label)


@pytest.mark.parametrize(
    ('oracle', 'width', 'side', 'keys', 'backbone'),
    [
        case(
            functools.partial(public.akamaster, depth=20),
            64,
            keys='akamaster',
            type='kd_det.CIFARResNet',
            depth=20,
            shortcut='pad',
        ),
        case(
            functools.partial(public.resnet, depth=110),
            64,
            type='kd_det.CIFARResNet',
            depth=110,
        ),
        case(
            functools.partial(public.resnet, depth=8, widths=WIDE),
            256,
            type='kd_det.CIFARResNet',
            depth=8,
            widths=WIDE,
        ),
        case(
            functools.partial(public.resnet, depth=8, widths=WIDE, cub=True),
            256,
            type='kd_det.CIFARResNet',
            depth=8,
            widths=WIDE,
            stem='cub',
        ),
        case(public.resnet50, 2048, type='kd_det.CIFARResNet50'),
        case(
            functools.partial(public.resnet50, cub=True),
            2048,
            type='kd_det.CIFARResNet50',
            stem='cub',
        ),
        case(public.resnet50, 2048, type='ResNet_CIFAR', depth=50),
        case(
            functools.partial(public.wrn, depth=40, widen=1),
            64,
            type='kd_det.WRN',
            depth=40,
            widen=1,
        ),
        case(
            functools.partial(public.wrn, depth=16, widen=2),
            128,
            type='kd_det.WRN',
            depth=16,
            widen=2,
        ),
        case(
            functools.partial(public.vgg, convs=(1, 1, 1, 1, 1)),
            512,
            type='kd_det.CIFARVGG',
            depth=8,
        ),
        case(
            functools.partial(public.vgg, convs=(1, 1, 2, 2, 2)),
            512,
            type='kd_det.CIFARVGG',
            depth=11,
        ),
        case(
            functools.partial(public.vgg, convs=(2, 2, 2, 2, 2)),
            512,
            type='kd_det.CIFARVGG',
            depth=13,
        ),
        case(public.mobilenet_v2, 1280, 32, type='kd_det.CIFARMobileNetV2'),
        case(
            functools.partial(public.mobilenet_v2, cub=True),
            1280,
            64,
            type='kd_det.CIFARMobileNetV2',
            stem='cub',
        ),
        case(public.shufflenet_v1, 960, type='kd_det.CIFARShuffleNetV1'),
        case(
            functools.partial(public.shufflenet_v1, cub=True),
            960,
            32,
            type='kd_det.CIFARShuffleNetV1',
            stem='cub',
        ),
        case(public.shufflenet_v2, 1024, type='kd_det.CIFARShuffleNetV2'),
        case(
            functools.partial(public.shufflenet_v2, cub=True),
            1024,
            32,
            type='kd_det.CIFARShuffleNetV2',
            stem='cub',
        ),
        case(public.mobilenet_v1, 1024, 64, type='kd_det.MobileNetV1'),
        case(
            public.micro_effnet,
            136,
            32,
            keys='micro_effnet',
            type='kd_det.MicroEffNet',
        ),
    ],
)
def test_logits_are_those_of_the_public_network(
    oracle, width, side, keys, backbone
):
    weights = public.Weights()
    images = weights.draw('images', 2, 3, side, side)
    del weights.state['images']
    images[1] *= 8  # a deep network hardly tells two images of noise apart
    expected = oracle(weights, images)
    model = classifier(backbone, width).double()
    mapped = KEY_MAPPINGS[keys](weights.state)
    assert {key: value.shape for key, value in mapped.items()} == {
        key: value.shape for key, value in model.state_dict().items()
    }
    model.load_state_dict(mapped)
    with torch.no_grad():
        logits = model(images)
    scale = expected.abs().max()
    assert logits.std(0).max() > 0.01 * scale  # the images give other logits
    torch.testing.assert_close(
        logits / scale, expected / scale, rtol=0, atol=1e-9
    )


@pytest.mark.parametrize('keys', KEY_MAPPINGS)
def test_unknown_keys_stay(keys):
    state = {
        'entry.weight': 1,
        'layers.0.weight': 2,
        'block0.2.weight': 3,
        'backbone.conv1.weight': 4,
    }
    assert KEY_MAPPINGS[keys](state) == state


def test_the_load_names_an_unknown_key():
    model = classifier(dict(type='kd_det.CIFARResNet', depth=8), 64)
    weights = public.Weights()
    public.resnet(weights, torch.rand(1, 3, 8, 8).double(), 8)
    weights.state['teacher.weight'] = torch.ones(1)
    with pytest.raises(UserError, match=r'1 key unexpected \(teacher.weig'):
        load_exactly(model, weights.state, 'a.pth', keys='repdistiller')
    del weights.state['teacher.weight']
    load_exactly(
        model, dict(model=weights.state), 'a.pth', keys='repdistiller'
    )
    loaded = model.state_dict()['backbone.conv1.weight']
    assert torch.equal(loaded, weights.state['conv1.weight'].float())


def test_two_keys_of_one_name_are_refused():
    state = {'fc.weight': 1, 'linear.weight': 2}
    with pytest.raises(UserError, match="'head.fc.weight'.*'linear.weight'"):
        KEY_MAPPINGS['repdistiller'](state)


@functools.cache
def normalised_images():
    """CIFAR-10's test images under ImageNet's statistics, and labels."""
    images, labels = read_sheets(Path(DATA) / 'cifar10', 'test')
    images = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    return (images - mean) / std, torch.from_numpy(labels)


@pytest.mark.skipif(
    not DATA, reason='KD_DET_DATA names no folder of data sets'
)
@pytest.mark.parametrize(
    ('depth', 'right'), [(20, 9173), (32, 9263), (44, 9310), (56, 9339)]
)
def test_the_given_teachers_score_what_is_published(depth, right):
    (path,) = Path(DATA, 'teachers_cifar10').glob(f'resnet{depth}-*.th')
    backbone = dict(type='kd_det.CIFARResNet', depth=depth, shortcut='pad')
    model = classifier(backbone, 64)
    load_exactly(model, load_checkpoint(path), str(path), keys='akamaster')
    images, labels = normalised_images()
    with torch.no_grad():
        hits = sum(
            int((model(part).argmax(1) == label).sum())
            for part, label in zip(images.split(100), labels.split(100))
        )
    assert hits == right
