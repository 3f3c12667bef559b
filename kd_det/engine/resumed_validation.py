"""Validate again after a resume, where a kill may have cut it short."""

import os.path as osp

import torch
from mmengine.device import get_device
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from kd_det.engine.run_record import FILE


class ResumedValidation(Hook):
    """Repeat the validation that follows the checkpoint resumed from.

    A checkpoint is written before the validation at the same step, so that
    nothing tells whether a killed run has completed that. Without it, the best
    checkpoint, schedulers that wait for a score, and ``run.json`` would differ
    from those of an uninterrupted run.
    """

    priority = 'LOWEST'  # after the hooks that prepare training

    def before_train(self, runner) -> None:
        """Validate if an uninterrupted run would do so at this point."""
        if runner.iter > 0 and _is_due(runner.train_loop, runner.val_loop):
            if not _is_recorded(runner):
                runner.val_loop.run()


def _is_due(train, val) -> bool:
    if val is None:
        return False
    if isinstance(train, IterBasedTrainLoop):
        now, last = train.iter, train.max_iters
    elif isinstance(train, EpochBasedTrainLoop):
        now, last = train.epoch, train.max_epochs
        if train.iter != now * len(train.dataloader):
            return False  # within an epoch
    else:
        return False
    train._decide_current_val_interval()
    return now >= train.val_begin and (
        now % train.val_interval == 0 or now == last
    )


def _is_recorded(runner) -> bool:
    """Return whether the run has ended, its record written."""
    ended = runner.iter >= runner.max_iters
    there = ended and osp.isfile(osp.join(runner.work_dir, FILE))
    answer = torch.tensor(there, device=get_device())
    broadcast(answer)  # the file may be on the disk of the first rank alone
    return bool(answer)
