"""Random weights that are held still are told, with what lets them learn."""

from types import SimpleNamespace

import pytest
from mmengine.config import ConfigDict
from tiny import pair_cfg, tiny_spec

from kd_det.models.spec import read_spec
from kd_det.preflight.frozen_layers import warn_of_frozen
from kd_det.registry import MODELS

LEARNS = dict(
    frozen_stages=-1, norm_eval=False, norm_cfg=dict(requires_grad=True)
)
FCOS = dict(  # what MMDetection's FCOS has
    frozen_stages=1, norm_eval=True, norm_cfg=dict(requires_grad=False)
)


def told(model, **cfg) -> list[str]:
    lines = []
    runner = SimpleNamespace(
        cfg=cfg, model=model, logger=SimpleNamespace(warning=lines.append)
    )
    warn_of_frozen(runner)
    return lines


def student(**backbone) -> dict:
    spec = tiny_spec()
    return dict(spec, backbone=spec['backbone'] | backbone)


def build(spec: dict):
    return MODELS.build(read_spec(spec, 'student')[0])


def test_every_key_is_named(teacher):
    pair = MODELS.build(pair_cfg(teacher, student=student(**FCOS)))
    (line,) = told(pair)
    assert line == (
        'The ResNet starts from random weights, but some of them are frozen '
        'by frozen_stages=1, norm_eval=True, norm_cfg.requires_grad=False; '
        'give it weights (model.student.backbone.init_cfg), or train them: '
        '--cfg-options model.student.backbone.frozen_stages=-1 '
        'model.student.backbone.norm_eval=False '
        'model.student.backbone.norm_cfg.requires_grad=True.'
    )


@pytest.mark.parametrize('key', FCOS)
def test_one_key_and_a_network_without_teacher(key):
    model = build(student(**LEARNS | {key: FCOS[key]}))
    (line,) = told(model)
    assert (
        line.count('model.backbone.') == 2 and f' model.backbone.{key}' in line
    )


def test_nothing_to_tell():
    assert not told(build(student(**LEARNS)))
    weights = dict(type='Pretrained', checkpoint='x.pth')
    spec = student(**FCOS)
    spec['backbone']['init_cfg'] = weights
    assert not told(build(spec))
    frozen = build(student(**FCOS))
    assert not told(frozen, load_from='x.pth')
    assert not told(frozen, resume=True)
    spec = student(norm_eval=True, frozen_stages=-1)
    spec['backbone']['norm_cfg'] = ConfigDict(
        type='GN', num_groups=2, requires_grad=False
    )
    assert not told(build(spec))
