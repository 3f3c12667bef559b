"""The scale of each loss, step by step, in real runs."""

import pytest
from engine_toy import Kill, Killed, ToyModel, ToyPair
from mmengine.hooks import Hook

from kd_det.errors import UserError

ITERS = dict(by_epoch=False, max_iters=6)
TWO = dict(
    losses=dict(
        loss_norm=dict(type='kd_det.NormLoss'),
        loss_kd=dict(type='kd_det.NormLoss', loss_weight=2.0),
    )
)


class Scales(Hook):
    """Note the scales that each step is taken with."""

    def __init__(self):
        self.found = []

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ):
        losses = runner.model.distill.roi.losses
        self.found.append((losses.loss_norm.scale, losses.loss_kd.scale))


def run(make_runner, schedules, **kwargs):
    scales = Scales()
    hooks = [dict(type='kd_det.LossScheduleHook', schedules=schedules), scales]
    runner = make_runner(
        model=ToyPair,
        model_args=TWO,
        hooks=[*hooks, *kwargs.pop('hooks', [])],
        **kwargs,
    )
    return runner, scales.found


def test_by_epoch_and_by_iteration(make_runner):
    runner, found = run(
        make_runner,
        dict(
            roi=dict(
                loss_kd=dict(type='WarmUp', epochs=2),
                loss_norm=dict(type='WarmUp', epochs=8, by_epoch=False),
            )
        ),
    )
    runner.train()
    # 4 epochs of 4 iterations
    expected = [
        (min(1, step / 8), min(1, (step // 4) / 2)) for step in range(16)
    ]
    assert found == expected
    scalars = runner.message_hub.log_scalars
    # an entry for every change
    assert scalars['train/roi.kd_scale'].data[0].tolist() == [0, 0.5, 1]
    assert len(scalars['train/roi.norm_scale'].data[0]) == 9
    assert 'loss' not in 'roi.kd_scale'


def test_a_list_multiplies(make_runner):
    schedules = [
        dict(type='WarmUp', epochs=4, origin=1),
        dict(type='Stop', begin=3),
    ]
    runner, found = run(make_runner, dict(roi=dict(loss_kd=schedules)))
    runner.train()
    kd = [scale for _, scale in found]
    assert kd == [0.25] * 4 + [0.5] * 4 + [0.75] * 4 + [0.0] * 4
    assert {scale for scale, _ in found} == {1.0}  # it has no schedule


def test_the_loss_follows_the_scale(make_runner):
    schedules = dict(roi=dict(loss_kd=dict(type='WarmUp', epochs=4)))
    runner, _ = run(make_runner, schedules)
    runner.train()
    kd, norm = (
        runner.message_hub.get_scalar(f'train/roi.loss_{name}').data[0]
        for name in ('kd', 'norm')
    )
    for step in range(16):
        # the same formula of the same embeddings, of weight 2
        assert kd[step] == pytest.approx(2 * norm[step] * (step // 4) / 4)


def test_a_resume_has_the_same_scales(make_runner):
    schedules = dict(
        roi=dict(
            loss_kd=dict(type='CosineDecay', begin=0, end=4),
            loss_norm=dict(type='WarmUp', epochs=16, by_epoch=False),
        )
    )
    straight, expected = run(make_runner, schedules, name='straight')
    straight.train()
    checkpoint = dict(type='CheckpointHook', interval=1)
    killed, _ = run(
        make_runner, schedules, hooks=[Kill(10)], checkpoint=checkpoint
    )
    with pytest.raises(Killed):
        killed.train()
    resumed, found = run(make_runner, schedules, resume=True)
    resumed.train()
    assert found == expected[8:]


def test_iteration_based_loop(make_runner):
    schedules = dict(
        roi=dict(loss_kd=dict(type='Stop', begin=4, by_epoch=False))
    )
    runner, found = run(make_runner, schedules, train=ITERS)
    runner.train()
    assert [scale for _, scale in found] == [1, 1, 1, 1, 0, 0]


def test_epochs_in_an_iteration_based_loop_are_refused(make_runner):
    schedules = dict(roi=dict(loss_kd=dict(type='Stop', begin=1)))
    runner, found = run(make_runner, schedules, train=ITERS)
    with pytest.raises(UserError, match='by_epoch=False'):
        runner.train()
    assert found == []


def test_an_unknown_loss_is_told_before_the_first_step(make_runner):
    schedules = dict(roi=dict(loss_k=dict(type='Stop', begin=1)))
    runner, found = run(make_runner, schedules)
    message = "'roi.loss_k'; accepted are roi.loss_norm, roi.loss_kd; did"
    with pytest.raises(UserError, match=message):
        runner.train()
    assert found == []


def test_a_plain_model_has_no_such_loss(make_runner):
    hook = dict(
        type='kd_det.LossScheduleHook',
        schedules=dict(roi=dict(loss_kd=dict(type='Stop', begin=1))),
    )
    with pytest.raises(UserError, match='those of a DistillModel'):
        make_runner(model=ToyModel, hooks=[hook]).train()


def test_schedules_stand_under_their_distiller(make_runner):
    flat = {'roi.loss_kd': dict(type='Stop', begin=1)}
    with pytest.raises(UserError, match='accepted is a distiller with its'):
        run(make_runner, flat)
