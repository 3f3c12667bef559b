"""Crashes, kills and full disks while a checkpoint is written."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from engine_toy import Kill, Killed
from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner import find_latest_checkpoint

from kd_det import files
from kd_det.checkpoint import load_checkpoint
from kd_det.engine.atomic_backend import AtomicBackend
from kd_det.engine.hooks import SafeCheckpointHook
from kd_det.errors import UserError

SAFE = dict(type='kd_det.SafeCheckpointHook', interval=1, max_keep_ckpts=1)
BEST = dict(SAFE, save_best='acc', rule='greater')


def names(runner, pattern='*.pth'):
    return sorted(p.name for p in Path(runner.work_dir).glob(pattern))


def fail_at(monkeypatch, number, error):
    """Let the ``number``-th write end in ``error``, its bytes written."""
    written = []

    def fsync(handle):
        written.append(handle)
        if len(written) == number:
            raise error

    monkeypatch.setattr(files.os, 'fsync', fsync)


def previous_is_whole(runner, epoch=1):
    last = find_latest_checkpoint(runner.work_dir)
    assert Path(last).name == f'epoch_{epoch}.pth'
    return load_checkpoint(last)['meta']['epoch'] == epoch


@pytest.mark.parametrize('keep', [1, 2])
def test_it_keeps_the_last_ones(make_runner, keep):
    runner = make_runner(checkpoint=dict(SAFE, max_keep_ckpts=keep))
    runner.train()
    assert names(runner) == [f'epoch_{e}.pth' for e in range(5 - keep, 5)]
    assert previous_is_whole(runner, epoch=4)
    assert runner.message_hub.get_info('keep_ckpt_ids') == list(
        range(5 - keep, 5)
    )
    assert names(runner, '.*') == []


def test_all_are_kept_by_default(make_runner):
    runner = make_runner(checkpoint=dict(SAFE, max_keep_ckpts=-1))
    runner.train()
    assert names(runner) == [f'epoch_{e}.pth' for e in range(1, 5)]


# writes: epoch_1, last_checkpoint, epoch_2, last_checkpoint
@pytest.mark.parametrize('write', [3, 4])
def test_a_crash_leaves_the_previous_one(make_runner, monkeypatch, write):
    runner = make_runner(checkpoint=SAFE)
    fail_at(monkeypatch, write, Killed())
    with pytest.raises(Killed):
        runner.train()
    assert previous_is_whole(runner)
    monkeypatch.undo()
    resumed = make_runner(checkpoint=SAFE, resume=True)
    resumed.train()
    assert names(resumed) == ['epoch_4.pth']


def test_the_stock_hook_loses_it(make_runner, monkeypatch):
    runner = make_runner(checkpoint=dict(SAFE, type='CheckpointHook'))
    put = LocalBackend.put

    def half(self, obj, filepath):
        if 'epoch_2' in str(filepath):
            put(self, obj[: len(obj) // 2], filepath)
            raise Killed
        put(self, obj, filepath)

    monkeypatch.setattr(LocalBackend, 'put', half)
    with pytest.raises(Killed):
        runner.train()
    assert names(runner) == ['epoch_2.pth']  # half of it, and no other
    with pytest.raises(UserError, match='truncated'):
        load_checkpoint(f'{runner.work_dir}/epoch_2.pth')


def test_a_full_disk_is_told_and_harms_nothing(make_runner, monkeypatch):
    runner = make_runner(hooks=[Kill(4)], checkpoint=SAFE)
    with pytest.raises(Killed):
        runner.train()
    resumed = make_runner(checkpoint=SAFE, resume=True)
    mkstemp = files.tempfile.mkstemp

    def full(dir, prefix):
        handle, path = mkstemp(dir=dir, prefix=prefix)
        os.dup2(os.open('/dev/full', os.O_WRONLY), handle)
        return handle, path

    monkeypatch.setattr(files.tempfile, 'mkstemp', full)
    with pytest.raises(UserError) as caught:
        resumed.train()
    message = str(caught.value)
    assert 'No space left' in message and 'epoch_2.pth' in message
    assert 'nothing was overwritten' in message and '--resume' in message
    assert previous_is_whole(resumed)
    assert names(resumed, '.*') == []  # the unfinished file is gone


def test_a_killed_process_leaves_the_previous_one(make_runner):
    runner = make_runner(hooks=[Kill(4)], checkpoint=SAFE)
    with pytest.raises(Killed):
        runner.train()

    def write_and_die():
        files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        runner.call_hook('after_train_epoch')

    runner.train_loop._epoch = 1
    child = multiprocessing.get_context('fork').Process(target=write_and_die)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert previous_is_whole(runner)
    assert names(runner) == ['epoch_1.pth']
    assert len(names(runner, '.epoch_2.pth.*')) == 1
    resumed = make_runner(checkpoint=SAFE, resume=True)
    resumed.train()
    assert names(resumed) == ['epoch_4.pth']
    assert names(resumed, '.*') == []


def test_a_kill_before_the_removal_is_made_good(make_runner, monkeypatch):
    runner = make_runner(checkpoint=SAFE)

    def die(self, paths):
        if paths:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(SafeCheckpointHook, '_remove', die)
        with pytest.raises(Killed):
            runner.train()
    assert names(runner) == ['epoch_1.pth', 'epoch_2.pth']
    assert previous_is_whole(runner, epoch=2)
    resumed = make_runner(checkpoint=SAFE, resume=True, hooks=[Kill(8)])
    with pytest.raises(Killed):
        resumed.train()
    assert names(resumed) == ['epoch_2.pth']


def test_one_best_is_kept(make_runner):
    runner = make_runner(checkpoint=BEST, scores=[0.1, 0.3, 0.2, 0.4])
    runner.train()
    assert names(runner) == ['best_acc_epoch_4.pth', 'epoch_4.pth']
    best = runner.message_hub.get_info('best_ckpt')
    assert best.endswith('best_acc_epoch_4.pth')


# writes: epoch_1, last, best_1, epoch_1, last, epoch_2, last, best_2
def test_a_crash_leaves_the_previous_best(make_runner, monkeypatch):
    runner = make_runner(checkpoint=BEST, scores=[0.1, 0.3])
    fail_at(monkeypatch, 8, Killed())
    with pytest.raises(Killed):
        runner.train()
    assert names(runner) == ['best_acc_epoch_1.pth', 'epoch_2.pth']
    path = f'{runner.work_dir}/best_acc_epoch_1.pth'
    assert load_checkpoint(path)['meta']['epoch'] == 1


def test_a_better_score_of_the_same_weights_keeps_the_best(make_runner):
    runner = make_runner(checkpoint=BEST, scores=[0.1, 0.2, 0.3, 0.4, 0.5])
    runner.train()
    runner.call_hook('before_train')  # it sets loop_stage for validation
    runner.val_loop.run()
    assert 'best_acc_epoch_4.pth' in names(runner)


def test_two_bests(make_runner):
    checkpoint = dict(BEST, save_best=['acc', 'half'], rule='greater')
    runner = make_runner(checkpoint=checkpoint, scores=[0.1, 0.3, 0.2, 0.25])
    metric = runner.val_evaluator.metrics[0]
    one = metric.compute_metrics

    def compute_metrics(results):
        acc = one(results)['acc']
        return dict(acc=acc, half=-acc)

    metric.compute_metrics = compute_metrics
    runner.train()
    assert names(runner) == [
        'best_acc_epoch_2.pth',
        'best_half_epoch_1.pth',
        'epoch_4.pth',
    ]


def test_checkpoints_elsewhere(make_runner, tmp_path):
    out = tmp_path / 'big_disk'
    runner = make_runner(checkpoint=dict(SAFE, out_dir=str(out)))
    runner.train()
    assert [p.name for p in out.rglob('*.pth')] == ['epoch_4.pth']
    assert previous_is_whole(runner, epoch=4)


def test_another_storage_is_left_alone(make_runner):
    class Elsewhere(LocalBackend):
        pass

    register_backend('elsewhere', Elsewhere, force=True)
    args = dict(backend='elsewhere')
    runner = make_runner(checkpoint=dict(SAFE, backend_args=args))
    runner.train()
    hook = next(h for h in runner.hooks if isinstance(h, SafeCheckpointHook))
    assert hook.backend_args == args
    assert names(runner) == ['epoch_4.pth']


def test_other_errors_of_the_system_are_passed_on(tmp_path):
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(OSError, match='file'):
        AtomicBackend().put(b'', tmp_path / 'file' / 'x')


def test_text_is_written_as_asked(tmp_path):
    AtomicBackend().put_text('Ä', tmp_path / 'a', encoding='latin-1')
    assert (tmp_path / 'a').read_bytes() == b'\xc4'
