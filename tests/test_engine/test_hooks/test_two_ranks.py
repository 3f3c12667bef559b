"""All hooks together under DistributedDataParallel, two CPU ranks."""

import math
import os
from pathlib import Path

import pytest
import ranks
import torch
from engine_toy import Kill, Killed, ToyPair, build_runner
from mmengine.dist import get_rank

from kd_det.checkpoint import load_checkpoint
from kd_det.errors import UserError

ITERS = dict(by_epoch=False, interval=3, max_keep_ckpts=1)
HOOKS = [
    dict(type='kd_det.RandomStateHook'),
    dict(type='kd_det.NonFiniteHook'),
    dict(type='kd_det.FeatureNormHook', interval=1),
    dict(
        type='kd_det.LossScheduleHook',
        schedules=dict(
            roi=dict(loss_norm=dict(type='WarmUp', epochs=8, by_epoch=False))
        ),
    ),
]


def build(folder, hooks=(), spoil=None, **kwargs):
    return build_runner(
        folder,
        ranks=2,
        model=ToyPair,
        model_args=dict(spoil=spoil),
        hooks=[*HOOKS, *hooks],
        checkpoint=dict(type='kd_det.SafeCheckpointHook', **ITERS),
        **kwargs,
    )


def scalars(runner):
    scales = runner.message_hub.get_scalar('train/roi.norm_scale').data[0]
    norms = runner.message_hub.get_scalar('train/roi.student_norm').data[0]
    return scales, norms


def resume_is_exact(folder):
    straight = build(folder / 'straight')
    straight.train()
    killed = build(folder / 'killed', [Kill(7)])
    with pytest.raises(Killed):
        killed.train()
    # iteration 6 is in the middle of the second epoch
    resumed = build(folder / 'killed', resume=True)
    resumed.train()
    torch.distributed.barrier()  # rank 0 has removed what is outdated
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert [p.name for p in (folder / 'killed').glob('*.pth')] == [
        'iter_16.pth'
    ]
    # the schedule and the norms found their distiller in the wrapped model
    scales, norms = scalars(straight)
    assert scales.tolist() == [i / 8 for i in range(9)]
    assert len(norms) == 16
    if get_rank() == 0:  # whose log the checkpoint holds
        assert scalars(resumed)[1].tolist() == norms.tolist()
    states = load_checkpoint(f'{folder}/killed/iter_16.pth')['random_state']
    first, second = (state['now']['torch'] for state in states['ranks'])
    assert not torch.equal(first, second)


def all_ranks_stop(folder):
    def spoil(losses, step):
        if step == 3 and get_rank() == 1:
            losses['loss_cls'] = losses['loss_cls'] * math.nan
        return losses

    runner = build(folder / 'nan', spoil=spoil)
    with pytest.raises(UserError) as caught:
        runner.train()
    message = str(caught.value)
    if get_rank() == 0:
        assert 'or one of another rank' in message
        assert 'non_finite_iter_3.pth' in message
        checkpoint = load_checkpoint(f'{folder}/nan/non_finite_iter_3.pth')
        for value in checkpoint['state_dict'].values():
            assert value.isfinite().all()
    else:
        assert 'Iteration 3: loss_cls is nan' in message
        assert '.pth' not in message


def work(rank, folder):
    torch.distributed.init_process_group('gloo')
    resume_is_exact(Path(folder))
    all_ranks_stop(Path(folder))
    torch.distributed.barrier()
    # past the interpreter's end, where threads of gloo may still abort
    os._exit(0)


def test_two_ranks(tmp_path):
    ranks.run(work, 2, str(tmp_path))
