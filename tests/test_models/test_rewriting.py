"""A teacher's cheaper forms are proven, or left out with a warning."""

import copy

import pytest
import torch
from mmengine.registry import init_default_scope
from tiny import tiny_spec, write_weights
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from kd_det.errors import UserError
from kd_det.models import FrozenTeacher, rewriting
from kd_det.models.rewriting import Running, rewrite
from kd_det.models.spec import read_spec
from kd_det.models.witness import Witness
from kd_det.registry import MODELS
from kd_det.testing import tiny_detector

ALL = dict(fuse_conv_bn=True, channels_last=True, dtype='bfloat16')


@pytest.fixture(autouse=True)
def scope(monkeypatch):
    init_default_scope('mmdet')
    monkeypatch.setattr(rewriting, 'is_fast_in', lambda dtype: True)


@pytest.fixture
def warned(said):
    """The warnings of a test, by a function."""
    return lambda: [line for line in said if line.startswith('WARNING')]


def lived(network: nn.Module) -> nn.Module:
    """Give batch norms statistics that matter."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
    return network.eval()


def classifier(backbone: dict, width: int) -> nn.Module:
    """Build a classifier around a backbone."""
    torch.manual_seed(0)
    return lived(
        MODELS.build(
            dict(
                _scope_='mmpretrain',
                type='ImageClassifier',
                backbone=backbone,
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead', in_channels=width, num_classes=5
                ),
                data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
            )
        )
    )


def norms(network: nn.Module) -> int:
    return sum(isinstance(m, _BatchNorm) for m in network.modules())


def relative(ours, full) -> float:
    return max(((a - b).norm() / b.norm()).item() for a, b in zip(ours, full))


def test_activations_inside_a_batch_norm_are_not_lost():
    """timm's BatchNormAct2d is a batch norm, with an activation behind it."""
    pytest.importorskip('timm')
    network = classifier(
        dict(
            type='TIMMBackbone',
            model_name='tf_efficientnet_lite0',
            features_only=True,
            out_indices=(2, 3, 4),
        ),
        320,
    )
    images = torch.randn(1, 3, 64, 64)
    full = Running(network).extract_feat(images)
    running = Running(network)
    assert norms(network) > 0
    assert rewrite(running, dict(fuse_conv_bn=True)) == {}
    assert norms(running.model) == 0
    assert relative(running.extract_feat(images), full) < 1e-4


def test_a_convolution_that_several_norms_share():
    """RTMDet's levels share convolutions, each with norms of its own."""
    model, _ = read_spec(tiny_detector('rtmdet'), 'teacher')
    network = lived(MODELS.build(model))
    count = norms(network)
    running = Running(network)
    asked = dict(fuse_conv_bn=True, channels_last=True)
    reason = rewrite(running, asked)['fuse_conv_bn']
    assert reason.startswith('the output of bbox_head.')
    assert reason.endswith('but at most 0.001 is accepted')
    assert norms(network) == count
    # the other stays on
    assert running.memory_format == torch.channels_last


def test_a_norm_in_front_of_its_convolution():
    """Registered behind a convolution that does not feed it."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.bn = nn.BatchNorm2d(3)

        def forward(self, x):
            return (self.conv(self.bn(x)),)

    network = classifier(dict(type='kd_det.Conv4', width=3), 3)
    network.backbone = lived(Net())
    assert rewrite(Running(network), dict(fuse_conv_bn=True))
    assert norms(network) == 1


def test_a_layer_that_cannot_read_a_layout():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)

        def forward(self, x):
            x = self.conv(x)
            return (x.view(x.shape[0], 4, -1),)

    network = classifier(dict(type='kd_det.Conv4', width=3), 3)
    network.backbone, network.neck, network.head = Flat(), None, None
    running = Running(network)
    reasons = rewrite(running, dict(channels_last=True))
    assert reasons['channels_last'].startswith('it fails that way (RuntimeE')
    assert running.memory_format == torch.preserve_format
    weight = running.model.backbone.conv.weight
    assert weight.is_contiguous()


def test_numbers_too_large_for_half_precision(warned, tmp_path):
    def swell(state):
        state['backbone.conv1.weight'] *= 1e4
        for key in state:
            if 'lateral_convs' in key:
                state[key] *= 1e4

    spec = write_weights(tiny_spec(50), tmp_path / 't.pth', swell)
    frozen = FrozenTeacher(dict(spec, dtype='float16'))
    (line,) = warned()
    assert "runs without dtype='float16'" in line and 'by inf of' in line
    images = torch.randn(1, 3, 64, 64)
    full = FrozenTeacher(spec).extract_feat(images)
    assert all(map(torch.equal, frozen.extract_feat(images), full))
    assert all(feat.isfinite().all() for feat in full)


def test_what_is_proven_is_silent(warned, tmp_path):
    spec = write_weights(tiny_spec(50), tmp_path / 't.pth', lambda _: None)
    frozen = FrozenTeacher(dict(spec, **ALL))
    assert not warned() and norms(frozen.model) == 0


def test_half_precision_that_is_slower_here(monkeypatch, said, tmp_path):
    monkeypatch.setattr(rewriting, 'is_fast_in', lambda dtype: False)
    spec = write_weights(tiny_spec(50), tmp_path / 't.pth', lambda _: None)
    slow = FrozenTeacher(dict(spec, dtype='bfloat16'))
    (line,) = [line for line in said if 'Teacher' in line]
    assert line.startswith('INFO') and 'has no instructions for it' in line
    images = torch.randn(1, 3, 64, 64)
    full = FrozenTeacher(spec).extract_feat(images)
    assert all(map(torch.equal, slow.extract_feat(images), full))


def test_nothing_is_tried_unasked(monkeypatch, tmp_path):
    monkeypatch.setattr(Witness, 'compare', lambda *_: pytest.fail('tried'))
    spec = write_weights(tiny_spec(50), tmp_path / 't.pth', lambda _: None)
    FrozenTeacher(dict(spec, fuse_conv_bn=False, dtype=None))


def test_a_refused_network_is_left_as_it_was(monkeypatch):
    network = classifier(dict(type='kd_det.Conv4', width=3), 3)
    monkeypatch.setattr(rewriting, 'TOLERANCES', {True: -1, 'bfloat16': -1})
    before = {k: v.clone() for k, v in network.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert {*rewrite(Running(network), ALL)} == {*ALL}
    assert torch.equal(torch.rand(1), expected)
    assert 'extract_feat' not in vars(network)
    for module in network.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize(
    ('family', 'head'),
    [
        ('cascade_rcnn', 'roi_head.bbox_head.2'),
        ('retinanet', 'bbox_head.retina_reg'),
        ('deformable_detr', 'bbox_head.cls_branches.0'),
        ('detr', 'encoder'),
    ],
)
def test_heads_are_looked_at(family, head):
    """On what they saw before: not on boxes that are chosen anew."""
    model, _ = read_spec(tiny_detector(family), 'teacher')
    network = MODELS.build(model).eval()
    witness = Witness(Running(network), {})
    assert witness.compare(Running(network))[0] == 0
    other = copy.deepcopy(network)
    for weight in other.get_submodule(head).parameters():
        weight.data += 0.1
    change, part = witness.compare(Running(other))
    assert change > 0.01 and part == head


def test_wrong_values_are_refused(tmp_path):
    spec = write_weights(tiny_spec(), tmp_path / 't.pth', lambda _: None)
    for change in (dict(fuse_conv_bn='yes'), dict(dtype='int8')):
        with pytest.raises(UserError, match='accepted are'):
            FrozenTeacher(dict(spec, **change))
