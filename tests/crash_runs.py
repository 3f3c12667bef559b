"""Kill real trainings, fill their disk, resume them, and compare.

The run is a tiny classifier's: stage 1 of IE-KD, class means, four epochs
with validation, two checkpoints and the best one kept. Run as a script, it
kills N trainings by SIGKILL, fills six disks (as root, since it mounts them),
and writes what happened as json:

    OMP_NUM_THREADS=1 PYTHONPATH=.:tests python tests/crash_runs.py 20 OUT
"""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import ie_toy
import torch
from mmengine.runner import find_latest_checkpoint
from tiny import spare_time

from kd_det.centroids import CentroidBank
from kd_det.checkpoint import load_checkpoint
from kd_det.cli import main, train  # noqa: F401  imported before the forks

CONFIG = 'iekd_resnet56_resnet20_short_cifar10'
EPOCHS = 3
STAGE_1 = 'auto-encoder training'
MEANS = 'centroid pass'
WRITE = 'checkpoint write'
STEPS = 'training steps'
OPERATION = 'file operation'
KINDS = (STAGE_1, MEANS, WRITE, STEPS, OPERATION)
# the line of the log with which each begins, what it has written at its end
BEGIN = {STAGE_1: 'will be trained', MEANS: 'one pass of the teacher'}
END = {STAGE_1: 'files/ae.pth', MEANS: 'files/bank.npz'}
LOGS = 'vis_data'  # where lines are appended one by one
PARTS = ('state_dict', 'optimizer', 'param_schedulers', 'random_state')
RECORDED = ('epochs', 'iterations', 'trained', 'logged', 'metrics')
ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT  # asked without waiting
WAIT = 600  # seconds, until a run that does not go on fails


def write_config(folder: Path) -> Path:
    """Write data, a teacher and the config, and return the config."""
    root = ie_toy.images(folder, 6)
    model = ie_toy.pair(folder, split=dict(order='random'))
    model.distillers.logit = dict(
        type='LogitDistiller',
        centroids='set by the run',
        losses=dict(
            loss_nd=dict(type='NDLoss'),
            # its memory of norms must survive, and the adaptor's dropout
            loss_sifn=dict(type='SIFNLoss', num_classes=10, loss_weight=0.01),
        ),
        connectors=dict(student_embed=dict(type='EmbeddingAdaptor')),
    )
    changes = dict(train_cfg__max_epochs=EPOCHS)
    cfg = ie_toy.run(CONFIG, folder / 'unused', root, model, **changes)
    cfg.val_evaluator = dict(type='kd_det.CrossEntropy')
    cfg.default_hooks.checkpoint = dict(
        type='kd_det.SafeCheckpointHook',
        interval=1,
        max_keep_ckpts=2,
        save_best='eval/cross_entropy',
        rule='less',
    )
    cfg.custom_hooks = [
        dict(type='kd_det.AutoEncoderHook', epochs=3, lr=0.01),
        dict(type='kd_det.CentroidHook'),
        dict(type='kd_det.RandomStateHook'),
    ]
    path = folder / 'pair.py'
    cfg.dump(path)
    return path


@dataclass
class Run:
    """Processes that train the config in one folder, the last one resuming.

    Each is forked, so that it need not import everything again.
    """

    config: Path
    folder: Path

    def start(self, limit: int = 0, kill_before: int = 0) -> int:
        """Start ``kd_det train --resume`` and return the process id.

        Args:
            limit: Largest size of a file in bytes; 0: any.
            kill_before: Which change of the file system is the last but one:
                before it the process is killed; 0: none.
        """
        self.folder.mkdir(exist_ok=True)
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            # those of pytest are not the descriptors 1 and 2
            sys.stdout = sys.stderr = open(self._open('log'), 'w', 1)
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            self._watch_changes(kill_before)
            main('train', self._arguments())
            status = 0
        except SystemExit as error:
            status = error.code
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)

    def _open(self, suffix: str) -> int:
        path = self.folder.with_suffix(f'.{suffix}')
        return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def _arguments(self) -> list[str]:
        files = self.folder / 'files'
        return [
            *(str(self.config), '--work-dir', str(self.folder)),
            *('--seed', '3', '--resume', '--cfg-options'),
            f'model.distillers.logit.centroids={files}/bank.npz',
            f'model.distillers.factor.auto_encoder={files}/ae.pth',
        ]

    def _watch_changes(self, kill_before: int) -> None:
        """Note the changes of files as Python announces them."""
        notes, count, inside = self._open('changes'), 0, str(self.folder)

        def heard(event: str, args: tuple) -> None:
            nonlocal count
            if not isinstance(args[0] if args else None, (str, Path)):
                return
            changes = event in ('os.rename', 'os.remove') or (
                event == 'open' and args[2] & (os.O_WRONLY | os.O_RDWR)
            )
            path = str(args[0])
            if changes and path.startswith(inside) and LOGS not in path:
                count += 1
                if count == kill_before:
                    os.kill(os.getpid(), signal.SIGKILL)
                os.write(notes, f'{event} {args[0]}\n'.encode())

        sys.addaudithook(heard)

    def log(self, suffix: str = 'log') -> str:
        """Return what the processes have printed, or their changes."""
        path = self.folder.with_suffix(f'.{suffix}')
        return path.read_text() if path.exists() else ''

    def finish(self, **kwargs) -> int:
        """Run to the end, and return the exit status."""
        return wait(self.start(**kwargs))

    def names(self, pattern: str = '*') -> list[str]:
        """Return the files, without those of the logs."""
        return sorted(
            str(path.relative_to(self.folder))
            for path in self.folder.rglob(pattern)
            if path.is_file() and LOGS not in path.parts
            if path.suffix != '.log'
        )

    def unfinished(self) -> list[str]:
        """Return the temporary files that a kill has left."""
        return self.names('.*')

    def check_whole(self) -> None:
        """Raise if a file that has its name cannot be read."""
        for name in self.names():
            path = self.folder / name
            if name in self.unfinished():
                continue
            if '.pth' in name:
                load_checkpoint(path)
            elif path.name == 'bank.npz':
                CentroidBank.load(path)
            elif path.name == 'run.json':
                json.loads(path.read_text())
        last = find_latest_checkpoint(str(self.folder))
        assert last is None or load_checkpoint(last)

    def result(self) -> dict:
        """Return what the run has made, down to single values."""
        found = {f'{name} exists': True for name in self.names()}
        for path in self.folder.rglob('*.pth'):
            state = load_checkpoint(path)
            for part in PARTS:
                found |= leaves(state.get(part), f'{path.name} {part}')
        bank = CentroidBank.load(self.folder / END[MEANS])
        found['means'] = torch.from_numpy(bank.centroids)
        record = json.loads((self.folder / 'run.json').read_text())
        found |= leaves({k: record.get(k) for k in RECORDED}, 'run.json')
        return found

    def state(self) -> str:
        """Return where the run is, by what it has written."""
        open_files = [name for name in self.unfinished() if 'epoch_' in name]
        if open_files:
            size = (self.folder / open_files[0]).stat().st_size
            name = open_files[0].lstrip('.').rpartition('.')[0]
            return f'{name}, {size} bytes written'
        for kind in (STAGE_1, MEANS):
            if not (self.folder / END[kind]).exists():
                begun = BEGIN[kind] in self.log()
                done = self.folder / f'{END[kind]}.partial'
                epoch = load_checkpoint(done)['epoch'] if done.exists() else 0
                after = f' after epoch {epoch}' * bool(epoch)
                return f'{kind}{after}' if begun else 'before it'
        saved = [*self.folder.glob('epoch_*.pth')]
        lines = [
            line
            for path in self.folder.glob('*/vis_data/scalars.json')
            for line in path.read_text().splitlines()
            if '"iter"' in line
        ]
        names = [path.name for path in saved]
        return f'step {len(lines)}, on disk {", ".join(sorted(names))}'


def wait(pid: int) -> int:
    """Wait for a process, and return its status, or minus its signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def leaves(tree: object, path: str) -> dict:
    """Return path -> value of everything in nested containers."""
    if isinstance(tree, (list, tuple)):
        tree = dict(enumerate(tree))
    if not isinstance(tree, dict):
        return {path: tree}
    found = {}
    for key, value in tree.items():
        found |= leaves(value, f'{path}.{key}')
    return found


def differences(one: dict, other: dict) -> list[str]:
    """Return the names of what is not bit-identical."""
    return sorted(one.keys() ^ other.keys()) + [
        name
        for name in one.keys() & other.keys()
        if not (
            torch.equal(one[name], other[name])
            if isinstance(one[name], torch.Tensor)
            else one[name] == other[name]
        )
    ]


class Kills:
    """Kill runs at random points, and compare what they end in.

    Args:
        folder: Where to work; must be empty.
        seed: Of the points.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder, self.draw = folder, random.Random(seed)
        self.config = write_config(folder)
        self.whole = Run(self.config, folder / 'whole')
        self.spent = {}  # kind -> seconds that it takes
        pid = self.whole.start()
        for kind in (STAGE_1, MEANS):
            begun = self._begun(self.whole, pid, kind)
            self._until(pid, self.whole.folder.joinpath(END[kind]).exists)
            self.spent[kind] = time.monotonic() - begun
        began = time.monotonic()
        assert wait(pid) == 0, self.whole.log()
        self.spent[STEPS] = (time.monotonic() - began) / EPOCHS
        self.result = self.whole.result()
        self.changes = self.whole.log('changes').splitlines()

    def one(self, number: int, kind: str, change: str = '') -> dict:
        """Kill a run, check what is there, resume it and compare.

        Args:
            number: Of the run.
            kind: Where to kill it.
            change: Part of the change of a file before which to kill it, if
                the kind is that; default: any.

        Returns:
            What happened.
        """
        while True:
            run = Run(self.config, self.folder / f'run{number}')
            if self._kill(run, kind, change):
                break
            remove(run)  # the point had passed
        row = dict(kind=kind, at=run.state(), unfinished=run.unfinished())
        run.check_whole()
        last = find_latest_checkpoint(str(run.folder))
        row['resumed_from'] = Path(last).name if last else None
        status = run.finish()
        row['status'] = status
        row['left'] = run.unfinished()
        row['different'] = (
            differences(self.result, run.result()) if status == 0 else None
        )
        if status == 0 and not row['left'] + row['different']:
            remove(run)
        return row

    def _kill(self, run: Run, kind: str, change: str) -> bool:
        """Start a run and kill it; return whether that was in time."""
        if kind == OPERATION:
            found = [n for n, c in enumerate(self.changes, 1) if change in c]
            number = self.draw.choice(found)
            return wait(run.start(kill_before=number)) == -signal.SIGKILL
        epoch = self.draw.randint(1, EPOCHS)
        share = self.draw.random()
        pid = run.start()
        if kind == WRITE:
            folder, name = run.folder, f'.epoch_{epoch}.pth.'
            self._until(
                pid,
                lambda: any(n.startswith(name) for n in os.listdir(folder)),
            )
        elif kind == STEPS:
            if epoch > 1:
                path = run.folder / f'epoch_{epoch - 1}.pth'
                self._until(pid, path.exists)
            else:
                self._until(pid, run.folder.joinpath(END[MEANS]).exists)
            time.sleep(share * self.spent[kind])
        else:
            self._begun(run, pid, kind)
            time.sleep(share * self.spent[kind])
        os.kill(pid, signal.SIGKILL)  # without effect on one that has ended
        if wait(pid) != -signal.SIGKILL:
            return False
        if kind in END:
            return not run.folder.joinpath(END[kind]).exists()
        return kind != WRITE or bool(run.unfinished())

    def _begun(self, run: Run, pid: int, kind: str) -> float:
        self._until(pid, lambda: BEGIN[kind] in run.log())
        return time.monotonic()

    def _until(self, pid: int, true: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT
        while not true():
            ended = os.waitid(os.P_PID, pid, ENDED)
            if ended and not true():
                return  # it was missed
            assert time.monotonic() < end, 'the run does not go on'
            time.sleep(0.0005)

    def no_space(self, name: str) -> dict:
        """Train where no file may be as large as one becomes."""
        size = self.whole.folder.joinpath(name).stat().st_size
        run = Run(self.config, self.folder / f'limit{size}')
        status = run.finish(limit=size - 1)
        row = dict(kind='file size limit', at=f'{name}, {size - 1} bytes')
        return self._resumed(run, row | dict(status_full=status))

    def full_disk(self, kibibytes: int) -> dict:
        """Train on a disk that fills up, and resume when it has room."""
        run = Run(self.config, self.folder / f'disk{kibibytes}')
        run.folder.mkdir()
        mount = ['mount', '-t', 'tmpfs', 'tmpfs', str(run.folder), '-o']
        subprocess.run([*mount, f'size={kibibytes}k'], check=True)
        try:
            row = dict(kind='full disk', at=f'{kibibytes} KiB')
            row['status_full'] = run.finish()
            row['names'] = run.names()
            subprocess.run([*mount, 'remount,size=64m'], check=True)
            return self._resumed(run, row)
        finally:
            subprocess.run(['umount', str(run.folder)], check=True)

    def _resumed(self, run: Run, row: dict) -> dict:
        row['says'] = run.log().splitlines()[-1]
        row['unfinished'] = run.unfinished()
        run.check_whole()
        row['status'] = run.finish()
        row['left'] = run.unfinished()
        if row['status'] == 0:
            row['different'] = differences(self.result, run.result())
        return row


def remove(run: Run) -> None:
    """Remove what a run and its processes have written."""
    shutil.rmtree(run.folder, ignore_errors=True)
    for suffix in ('.log', '.changes'):
        run.folder.with_suffix(suffix).unlink(missing_ok=True)


if __name__ == '__main__':
    torch.set_num_threads(1)
    spare_time()
    rows = []
    with TemporaryDirectory() as place:
        kills = Kills(Path(place))
        print(kills.spent, flush=True)
        for number in range(int(sys.argv[1])):
            rows.append(kills.one(number, KINDS[number % len(KINDS)]))
            print(rows[-1], flush=True)
        for size in (30, 60, 110, 240, 360, 480):
            rows.append(kills.full_disk(size))
            print(rows[-1], flush=True)
    Path(sys.argv[2]).write_text(json.dumps(rows, indent=1) + '\n')
