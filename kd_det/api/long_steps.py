"""Long-running steps with progress output, timing and reuse of results."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kd_det.errors import UserError
from kd_det.files import atomic_write
from kd_det.progress import duration

MARK = 'stage.json'


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        key: Name of its folder.
        title: Title for the output.
        seconds: Expected duration on two free cores.
    """

    key: str
    title: str
    seconds: int


class Steps:
    """Run steps in order, each in its own folder; reuse finished ones.

    A folder stores the identity of its step and whether it has finished. A
    finished step with the same identity is reused; an interrupted one is run
    again in the existing folder, so that training can resume; if the identity
    differs, the folder is emptied.

    Args:
        folder: Parent folder.
        steps: All steps in order.
        fresh: Whether to empty the folders first.

    Raises:
        UserError: A folder was not created by an earlier run.
    """

    def __init__(
        self, folder: Path, steps: tuple[Step, ...], fresh: bool = False
    ) -> None:
        self.folder = folder
        self.steps = steps
        self._began = time.monotonic()
        # expected and actual seconds of the steps run so far
        self._planned = self._taken = 0.0
        for step in steps:
            _check_ours(folder / step.key)
            if fresh:
                shutil.rmtree(folder / step.key, ignore_errors=True)

    def do(self, step: Step, identity: dict, work: Callable[[], dict]) -> dict:
        """Run a step, or reuse its result.

        Args:
            step: The step.
            identity: JSON-compatible dict of everything the result depends on.
            work: Function that runs the step and returns the result to store,
                with ``path``, the created file or folder.

        Returns:
            The result of ``work`` with ``seconds``, ``cpu_seconds``,
            ``resumed`` and ``reused``.
        """
        number = 1 + self.steps.index(step)
        print(f'[{number}/{len(self.steps)}] {step.title}', flush=True)
        mark = self.folder / step.key / MARK
        found = json.loads(mark.read_text()) if mark.is_file() else {}
        same = found.get('identity') == identity
        record = found.get('record')
        if same and record and Path(record['path']).exists():
            self._say('already finished, reused', number)
            return dict(record, reused=True)
        resumed = same and not record
        if found and not resumed:
            print('      existing results have other settings: run again')
            shutil.rmtree(mark.parent)
        _write(mark, dict(identity=identity))
        began, cpu = time.monotonic(), time.process_time()
        record = work()
        seconds = time.monotonic() - began
        record |= dict(
            seconds=round(seconds, 1),
            cpu_seconds=round(time.process_time() - cpu, 1),
            resumed=resumed,
        )
        _write(mark, dict(identity=identity, record=record))
        self._planned += step.seconds
        self._taken += seconds
        self._say(f'done in {duration(seconds)}', number)
        return dict(record, reused=False)

    def _say(self, what: str, number: int) -> None:
        so_far = duration(time.monotonic() - self._began)
        rest = sum(step.seconds for step in self.steps[number:])
        if self._taken > 30:  # enough to estimate the speed of this machine
            rest *= self._taken / self._planned
        left = f', about {duration(rest)} left' if rest else ''
        print(f'      {what}; {so_far} in all{left}', flush=True)


def _check_ours(folder: Path) -> None:
    if folder.exists() and not (folder / MARK).is_file():
        raise UserError(
            f'{str(folder)!r} exists without {MARK}, so it is not from an '
            'earlier run; choose another --work-dir or remove it.'
        )


def _write(mark: Path, content: dict) -> None:
    with atomic_write(mark) as file:
        file.write(json.dumps(content, indent=1).encode())
