"""What torchvision publishes loads by the key mapping of its name."""

import torch
import torchvision

from kd_det.models.key_mappings import KEY_MAPPINGS
from kd_det.models.teacher import load_exactly
from kd_det.registry import MODELS


def classifier(backbone: dict, width: int) -> torch.nn.Module:
    cfg = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', in_channels=width, num_classes=1000),
    )
    return MODELS.build(cfg).eval()


def test_resnet_gives_the_same_logits():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18().eval()
    ours = classifier(dict(type='ResNet', depth=18), 512)
    load_exactly(ours, theirs.state_dict(), 'a.pth', keys='torchvision')
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits = ours.head(ours.extract_feat(images))
        torch.testing.assert_close(logits, theirs(images))


def test_regnet_takes_every_weight():
    theirs = torchvision.models.regnet_y_16gf().state_dict()
    ours = classifier(dict(type='kd_det.RegNetY16GF'), 3024)
    mapped = KEY_MAPPINGS['torchvision'](theirs)
    assert {key: value.shape for key, value in mapped.items()} == {
        key: value.shape for key, value in ours.state_dict().items()
    }


def test_googlenet_gives_the_same_embedding():
    torch.manual_seed(0)
    theirs = torchvision.models.googlenet(
        aux_logits=True, transform_input=False, init_weights=False
    ).eval()
    ours = MODELS.build(dict(type='kd_det.GoogLeNet')).eval()
    missing, left = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not missing
    assert {key.partition('.')[0] for key in left} == {'aux1', 'aux2', 'fc'}
    theirs.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        (level,) = ours(images)
        assert level.shape == (2, 1024, 2, 3)
        torch.testing.assert_close(level.mean((2, 3)), theirs(images))
