"""An epoch has steps and an end, and schedules fit the training."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from tiny import NUMBERS

from kd_det.errors import UserError
from kd_det.preflight.built import LoopCheck
from kd_det.preflight.schedules import check_steps, unused_settings


class Point(BaseModel):
    """One weight."""

    def __init__(self):
        super().__init__()
        self.neck = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode):
        return dict(loss=self.neck.weight.sum())


@pytest.fixture
def build(tmp_path):
    """Return a runner of 4 epochs of 3 steps, with all parts built."""

    def run(schedule=None, loop=None, paramwise=None, **loader):
        optim = dict(optimizer=dict(type='SGD', lr=1.0))
        if paramwise:
            optim['paramwise_cfg'] = dict(custom_keys=paramwise)
        runner = Runner(
            Point(),
            str(tmp_path),
            dict(
                dict(
                    dataset=[0] * 12,
                    batch_size=4,
                    num_workers=0,
                    sampler=dict(type='DefaultSampler', shuffle=True),
                ),
                **loader,
            ),
            train_cfg=loop or dict(by_epoch=True, max_epochs=4),
            optim_wrapper=optim,
            param_scheduler=schedule,
            cfg=dict(optim_wrapper=optim, train_cfg=loop),
            experiment_name=tmp_path.name + str(next(NUMBERS)),
            log_level='ERROR',
        )
        assert runner.train_loop
        runner.optim_wrapper = runner.build_optim_wrapper(optim)
        if schedule:
            runner.param_schedulers = runner.build_param_scheduler(schedule)
        return runner

    return run


@pytest.mark.parametrize(
    ('schedule', 'last'),
    [
        (dict(type='MultiStepLR', milestones=[2, 3]), None),
        (dict(type='MultiStepLR', milestones=[2, 4]), 5),
        (dict(type='MultiStepLR', milestones=[2], begin=2, end=4), 5),
        (dict(type='LinearLR', by_epoch=False, end=12), None),
        (dict(type='LinearLR', by_epoch=False, end=500), 500),
        (dict(type='LinearLR', end=2, convert_to_iter_based=True), None),
        (dict(type='LinearLR', end=5, convert_to_iter_based=True), 15),
        (dict(type='CosineAnnealingLR', T_max=4), None),
        (dict(type='CosineAnnealingLR', T_max=12), 12),
        (dict(type='CosineAnnealingLR', begin=1, end=4, T_max=3), None),
        (dict(type='ConstantLR', begin=4, end=9), 9),
        (dict(type='ExponentialLR', gamma=0.9), None),
        (dict(type='ReduceOnPlateauLR', monitor='x'), None),
    ],
)
def test_a_schedule_that_is_longer_than_the_training(build, schedule, last):
    warnings = unused_settings(build(schedule))
    assert len(warnings) == (last is not None)
    for text in warnings:
        assert schedule['type'] in text and f' {last}, but the' in text


def test_epochs_of_a_loop_over_iterations(build):
    loop = dict(by_epoch=False, max_iters=9)
    schedule = dict(type='MultiStepLR', milestones=[2])
    (text,) = unused_settings(build(schedule, loop))
    assert 'it never acts' in text
    schedule['by_epoch'] = False
    assert unused_settings(build(schedule, loop)) == []


def test_settings_of_weights_that_are_not_there(build):
    keys = {'neck': dict(lr_mult=2), 'nekc.weight': dict(lr_mult=3)}
    (text,) = unused_settings(build(paramwise=keys))
    assert "No weight has 'nekc.weight' in its name" in text
    assert unused_settings(build(paramwise={'student.neck': {}})) == []


def test_an_epoch_without_a_step(build):
    with pytest.raises(UserError, match='the 12 training images are fewer'):
        check_steps(build(batch_size=16, drop_last=True))
    check_steps(build(batch_size=16))


def test_an_epoch_without_an_end(build):
    endless = dict(sampler=dict(type='InfiniteSampler'))
    runner = build(**endless)
    runner.register_hook(LoopCheck())
    with pytest.raises(UserError, match='InfiniteSampler .* never ends'):
        runner.train()
    check_steps(build(loop=dict(by_epoch=False, max_iters=9), **endless))
