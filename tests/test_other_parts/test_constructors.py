"""Optimiser constructors give the student the rates it has alone."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from tiny import KD, pair_cfg, tiny_spec

from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS
from kd_det.testing import save_teacher, tiny_classifier

CONVNEXT = dict(
    type='mmpretrain.ConvNeXt',
    arch=dict(depths=[1, 1, 1, 1], channels=[8, 16, 24, 32]),
    out_indices=[0, 1, 2, 3],
)


def detector():
    spec = tiny_spec()
    backbone = dict(CONVNEXT, _delete_=True, gap_before_final_norm=False)
    return dict(
        spec, backbone=backbone, neck=dict(in_channels=[8, 16, 24, 32])
    )


def classifier():
    spec = tiny_classifier(18, 3)
    spec['backbone'] = dict(CONVNEXT, out_indices=[3])
    spec['head']['in_channels'] = 32
    return spec


def groups(model, optim) -> dict:
    """Of each weight what its group says."""
    wrapper = build_optim_wrapper(model, copy.deepcopy(optim))
    names = {id(weight): name for name, weight in model.named_parameters()}
    return {
        names[id(weight)]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for weight in group['params']
    }


def build(cfg, scope):
    init_default_scope(scope)
    torch.manual_seed(0)
    return MODELS.build(cfg)


def compare(pair, scope, optim):
    """Return the rates of the student, which are those it has alone."""
    alone = build(read_spec(copy.deepcopy(pair['student']), '')[0], scope)
    model = build(pair, scope)
    plain, own = groups(alone, optim), groups(model, optim)
    parts = {k: v for k, v in own.items() if k.startswith('distill.')}
    assert {k: v for k, v in own.items() if k not in parts} == plain
    base = optim['optimizer']['lr']
    assert parts and {lr for lr, _ in parts.values()} == {base}
    return {lr for lr, _ in plain.values()}


def of_detectors(teacher, student):
    pair = pair_cfg(teacher, KD, student=student)
    linear = dict(student_embed=dict(type='LinearAdaptor'))
    losses = dict(loss_norm=dict(type='NormLoss'))
    pair.distillers.roi.update(connectors=linear, losses=losses)
    return pair


def test_rates_by_layer_of_a_detector(teacher):
    optim = dict(
        constructor='LearningRateDecayOptimizerConstructor',
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.05),
        paramwise_cfg=dict(
            decay_rate=0.5, decay_type='layer_wise', num_layers=6
        ),
    )
    rates = compare(of_detectors(teacher, detector()), 'mmdet', optim)
    assert min(rates) < 0.1 * 0.5**6 and max(rates) == 0.1


def test_rates_by_layer_of_a_classifier(tmp_path):
    teacher = save_teacher(tiny_classifier(50, 3), tmp_path / 'teacher.pth')
    pair = dict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=teacher,
        student=classifier(),
        distillers=dict(
            logit=dict(
                type='LogitDistiller',
                connectors=dict(student_embed=dict(type='LinearAdaptor')),
                losses=dict(loss_norm=dict(type='NormLoss')),
            )
        ),
    )
    optim = dict(
        constructor='LearningRateDecayOptimWrapperConstructor',
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.05),
        paramwise_cfg=dict(layer_decay_rate=0.5, norm_decay_mult=0.0),
    )
    rates = compare(pair, 'mmpretrain', optim)
    assert len(rates) > 4 and max(rates) == 0.1


@pytest.mark.parametrize('key', ['backbone', 'student.backbone'])
def test_rates_by_name(teacher, key):
    """DefaultOptimWrapperConstructor finds keys with `student.`, too."""
    optim = dict(
        type='OptimWrapper',
        optimizer=dict(type='SGD', lr=0.1, weight_decay=0.05),
        paramwise_cfg=dict(custom_keys={key: dict(lr_mult=0.1)}),
    )
    pair = of_detectors(teacher, tiny_spec())
    own = groups(build(pair, 'mmdet'), optim)
    slow = {name for name, (lr, _) in own.items() if lr == pytest.approx(0.01)}
    assert slow == {n for n in own if n.startswith('backbone.')} != set()


def test_a_student_that_has_no_order_of_layers(teacher):
    optim = dict(
        constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor',
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=0.1),
        paramwise_cfg=dict(layer_decay_rate=0.5),
    )
    model = build(pair_cfg(teacher), 'mmdet')
    with pytest.raises(
        UserError, match='FasterRCNN does not define the depth'
    ):
        build_optim_wrapper(model, optim)
