"""What a run has logged: the lines of its ``scalars.json``."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

Points = list[tuple[float, float]]  # step or epoch, value


@dataclass(frozen=True)
class RunLog:
    """Lines of a log by what wrote them, each name -> number.

    Attributes:
        train: The logger's, every few steps.
        val: Of validations, an entry each; ``step`` is the epoch where
            the run counts epochs.
        single: What a hook wrote at a step of its own.
    """

    train: list[dict] = field(default_factory=list)
    val: list[dict] = field(default_factory=list)
    single: list[dict] = field(default_factory=list)

    @property
    def by_epoch(self) -> bool:
        """Whether the run counts epochs."""
        return any('epoch' in entry for entry in self.train)

    def curves(self, kind: str) -> dict[str, Points]:
        """Return the curve of each name.

        Args:
            kind: ``'train'``, ``'val'`` or ``'single'``.
        """
        found: dict[str, Points] = {}
        for entry in getattr(self, kind):
            for name, value in entry.items():
                found.setdefault(name, []).append((entry['step'], value))
        return found


def read_log(work_dir: str | Path) -> RunLog:
    """Read the log of a run and of its resumes.

    Steps that were done again count as they were the last time.

    Args:
        work_dir: Of a run by MMEngine; one without a log gives none.
    """
    log = RunLog()
    for entries in log_files(work_dir):
        numbers = [_numbers(entry) for entry in entries]
        for kind, lines in _sorted(numbers).items():
            own = getattr(log, kind)
            if lines:
                first = min(line['step'] for line in lines)
                own[:] = [line for line in own if line['step'] < first]
            own += lines
    return log


def log_files(work_dir: str | Path) -> Iterator[list[dict]]:
    """Yield the entries of each ``scalars.json``, the oldest file first.

    A line that a killed run has not finished is left out.

    Args:
        work_dir: Of a run by MMEngine.
    """
    for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        entries = []
        for line in file.read_text(errors='replace').splitlines():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(entry, dict):
                entries.append(entry)
        yield entries


def changes(points: Points) -> Points:
    """Return a curve without the points that repeat the one before.

    The logger repeats what a hook has measured until it measures again.
    """
    kept = []
    for x, y in points:
        same = kept and (y == kept[-1][1] or math.isnan(y))
        if not same:
            kept.append((x, y))
    return kept


def _numbers(entry: dict) -> dict[str, float]:
    return {
        name: value
        for name, value in entry.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def _sorted(entries: list[dict]) -> dict[str, list[dict]]:
    """Return the lines by kind; a validation is timed, a hook is not."""
    kinds = dict(train=[], val=[], single=[])
    done = 0
    for entry in entries:
        if 'step' not in entry:
            continue
        if 'iter' in entry:
            kind, done = 'train', entry['step']
        elif 'time' in entry:
            kind = 'val'
            # a loop without epochs logs its validations at epoch 0
            entry['step'] = entry['step'] or done
        else:
            kind = 'single'
        kinds[kind].append(entry)
    return kinds
