"""A linear probe trains its head and nothing else."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmpretrain.structures import DataSample
from torch import nn

from kd_det.checkpoint import use_safe_loading
from kd_det.config import load_config
from kd_det.preflight.pretrained_weights import check_pretrained
from kd_det.registry import MODELS

CIFAR = Path(__file__).parents[2] / 'configs/cifar'
PROBE = 'probe_resnet8x4_cifar10'
HEAD = {'head.fc.weight', 'head.fc.bias'}


def built(name: str, **options) -> tuple[nn.Module, Config]:
    cfg = load_config(str(CIFAR / f'{name}.py'), options)
    model = dict(
        cfg.model,
        _scope_='mmpretrain',
        data_preprocessor=cfg.data_preprocessor,
    )
    return MODELS.build(model), cfg


def step(model: nn.Module, cfg: Config) -> set[str]:
    """Train a step; return the weights and statistics that it changed."""
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    images = [*torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)]
    samples = [DataSample().set_gt_label(k) for k in range(4)]
    batch = dict(inputs=images, data_samples=samples)
    model.train().train_step(batch, optim_wrapper)
    after = model.state_dict()
    return {k for k, v in before.items() if not torch.equal(v, after[k])}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A checkpoint of a student, with what its pair has beside it."""
    student, cfg = built('baseline_resnet8x4_cifar100')
    assert 'backbone.bn1.running_mean' in step(student, cfg)
    path = tmp_path_factory.mktemp('trained') / 'epoch_240.pth'
    state = student.state_dict() | {'distill.logit.x': torch.ones(1)}
    torch.save(dict(state_dict=state), path)
    return str(path)


def probe_of(checkpoint: str) -> tuple[nn.Module, Config]:
    use_safe_loading()
    return built(PROBE, trained=checkpoint)


def test_a_probe_trains_its_head_alone(trained):
    probe, cfg = probe_of(trained)
    check_pretrained(SimpleNamespace(cfg={}, model=probe, logger=None))
    probe.init_weights()
    assert step(probe, cfg) == HEAD
    state = torch.load(trained, weights_only=True)['state_dict']
    for key, value in probe.backbone.backbone.state_dict().items():
        assert torch.equal(value, state[f'backbone.{key}']), key


def test_a_probe_without_its_checkpoint(tmp_path):
    probe, _ = probe_of(str(tmp_path / 'epoch_240.pth'))
    runner = SimpleNamespace(cfg={}, model=probe, logger=None)
    with pytest.raises(FileNotFoundError, match="no checkpoint '.*epoch_240"):
        check_pretrained(runner)


def test_images_are_those_of_the_trained_backbone():
    configs = [
        load_config(str(CIFAR / f'{name}.py')).data_preprocessor
        for name in (PROBE, 'baseline_resnet8x4_cifar100')
    ]
    assert configs[0].mean == configs[1].mean
    assert configs[0].std == configs[1].std


def test_what_mmpretrain_offers_for_its_own_networks():
    """The guide's probe of an ImageNet student."""
    cfg = load_config(str(CIFAR / f'{PROBE}.py'))
    cfg.model.backbone = dict(
        type='ResNet', depth=18, frozen_stages=4, norm_eval=True
    )
    cfg.model.head.in_channels = 512
    model = MODELS.build(dict(cfg.model, _scope_='mmpretrain'))
    assert step(model, cfg) == HEAD
