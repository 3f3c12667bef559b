"""The rows of a benchmark, as a table and as JSON."""

import json
from dataclasses import dataclass

from kd_det.benchmark.timing import Times
from kd_det.files import atomic_write

STUDENT, TEACHER = 'student alone', 'teacher forward'
FLOOR, STEP, DATA = 'student and teacher', 'whole step', 'data'


@dataclass
class Result:
    """A benchmark of a pair.

    Attributes:
        about: What was measured, and where.
        times: Row -> its times, in the order of the table.
        memory: Row -> bytes that a step adds at its peak, or None.
        parts: ``'student alone'`` and ``'whole step'`` -> part -> times.
        teacher: Switches of the teacher -> times of its forward pass.
    """

    about: dict
    times: dict[str, Times]
    memory: dict[str, int | None]
    parts: dict[str, dict[str, Times]]
    teacher: dict[str, Times]

    def ratios(self, row: str) -> dict[str, tuple[float, float, float]]:
        """Return the ratios of a row, each with its quartiles.

        Args:
            row: Name of the row.
        """
        mine = self.times[row]
        return dict(
            to_student=mine.ratio(self.times[STUDENT]),
            to_floor=mine.ratio(self.times[FLOOR]),
        )

    def shares(self, row: str) -> dict[str, float]:
        """Return the share of each part in the time of a row; they add to 1.

        Args:
            row: A key of ``parts``.
        """
        sums = {k: sum(t.seconds) for k, t in self.parts[row].items()}
        whole = sum(sums.values())
        return {part: spent / whole for part, spent in sums.items()}


def save(result: Result, path: str) -> None:
    """Write a benchmark as JSON.

    Args:
        result: The benchmark.
        path: The file.
    """
    with atomic_write(path) as file:
        file.write((json.dumps(as_json(result), indent=1) + '\n').encode())


def as_json(result: Result) -> dict:
    """Return what ``--json`` writes: medians, quartiles and each round.

    Args:
        result: The benchmark.
    """
    return dict(
        result.about,
        rows={
            row: dict(
                _numbers(times),
                memory_bytes=result.memory.get(row),
                **{k: _rounded(v) for k, v in result.ratios(row).items()},
            )
            for row, times in result.times.items()
        },
        parts={
            row: {
                part: dict(_numbers(times), share=_round(shares[part]))
                for part, times in parts.items()
            }
            for row, parts in result.parts.items()
            for shares in [result.shares(row)]
        },
        teacher={k: _numbers(times) for k, times in result.teacher.items()},
    )


def _numbers(times: Times) -> dict:
    return dict(
        median=_round(times.median),
        quartiles=_rounded(times.quartiles),
        seconds=_rounded(times.seconds),
    )


def _rounded(values) -> list[float]:
    return [_round(value) for value in values]


def _round(value: float) -> float:
    return float(f'{value:.5g}')


def text_of(result: Result) -> str:
    """Return the tables of a benchmark.

    Args:
        result: The benchmark.
    """
    about = result.about
    first = (
        f'{about["config"]}: {about["clock"]}, {about["device"]}, '
        f'{about["threads"]} threads, {about["rounds"]} rounds, images '
        f'{" ".join("x".join(map(str, shape)) for shape in about["images"])}'
    )
    blocks = [first, _rows(result), _parts(result)]
    if result.teacher:
        blocks.append(_switches(result))
    return '\n\n'.join(blocks)


def _rows(result: Result) -> str:
    lines = [('ms', 'to the student', 'to the floor', 'MiB', '')]
    for row, times in result.times.items():
        ratios = result.ratios(row)
        memory = result.memory.get(row)
        name = f'{row} (the floor)' if row == FLOOR else row
        lines.append(
            (
                _ms(times.median),
                _with_quartiles(ratios['to_student']),
                _with_quartiles(ratios['to_floor']),
                '' if memory is None else f'{memory / 2**20:.0f}',
                name,
            )
        )
    return _columns(lines)


def _parts(result: Result) -> str:
    shares = {row: result.shares(row) for row in (STEP, STUDENT)}
    lines = [('whole step', '', 'student alone', '', '')]
    for part in shares[STEP] | shares[STUDENT]:
        cells = []
        for row, own in shares.items():
            if part in own:
                spent = result.parts[row][part].median
                cells += [_ms(spent), f'{own[part]:.1%}']
            else:
                cells += ['', '']
        lines.append((*cells, part))
    return _columns(lines)


def _switches(result: Result) -> str:
    plain = next(iter(result.teacher.values()))
    lines = [('ms', 'to exact', "the teacher's extract_feat")]
    for name, times in result.teacher.items():
        ratio = _with_quartiles(times.ratio(plain))
        lines.append((_ms(times.median), ratio, name))
    return _columns(lines)


def _ms(seconds: float) -> str:
    return f'{1000 * seconds:.2f}'


def _with_quartiles(ratio: tuple[float, float, float]) -> str:
    middle, low, high = (f'{value:.3f}' for value in ratio)
    return f'{middle} ({low} to {high})'


def _columns(lines: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join(
        '  '.join(
            [cell.rjust(n) for cell, n in zip(line[:-1], widths)] + [line[-1]]
        ).rstrip()
        for line in lines
    )
