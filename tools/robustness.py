"""Write the tables of docs/notes/robustness.md from the results.

They are made of docs/results/kills.json (tests/crash_runs.py), fuzz.json
(tools/fuzz.py) and doctor.json (outputs of ``kd_det doctor``), and of the
inputs in tests/test_hostile.py.
"""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / 'docs/results'
PAGE = ROOT / 'docs/notes/robustness.md'
NAMES = dict(
    CHECKPOINTS='checkpoints',
    BANKS='class means',
    TABLES='COCO json',
    CONFIGS='configs, Python',
    YAML='configs, YAML',
    AUTO_ENCODERS='auto-encoders',
)


def page(text: str) -> str:
    """Return the page with its tables regenerated."""
    parts = dict(
        doctor=doctor(), kills=kills(), hostile=hostile(), fuzz=fuzz()
    )
    for name, body in parts.items():
        made = f'\n{body}\n\n'
        marked = rf'(<!-- made: {name} -->\n).*?(<!-- end -->)'
        text = re.sub(
            marked, lambda m, t=made: m[1] + t + m[2], text, flags=re.S
        )
    return text


def _table(rows: list[tuple]) -> str:
    lines = [f'| {" | ".join(map(str, row))} |' for row in rows]
    return '\n'.join([lines[0], '| --- ' * len(rows[0]) + '|', *lines[1:]])


def doctor() -> str:
    """Return what the doctor said, of each pair."""
    found = json.loads((RESULTS / 'doctor.json').read_text())
    return '\n\n'.join(
        f'{run["what"]}; exit code {run["code"]}:\n\n'
        f'```text\n{run["text"]}\n```'
        for run in found
    )


def kills() -> str:
    """Return a table of killed runs and full disks, by kind."""
    groups = defaultdict(list)
    for row in json.loads((RESULTS / 'kills.json').read_text()):
        groups[row['kind']].append(row)
    rows = [('kind', 'runs', 'files left unfinished', 'equal in the end')]
    for kind, runs in groups.items():
        left = sum(bool(run['unfinished']) for run in runs)
        equal = [
            run
            for run in runs
            if run['status'] == 0 and not run['left'] + run['different']
        ]
        rows.append((kind, len(runs), left, len(equal)))
    return _table(rows)


def hostile() -> str:
    """Return a table of the inputs in tests/test_hostile.py."""
    sys.path.insert(0, str(ROOT / 'tests'))
    import test_hostile as made

    rows = [('kind', 'number', 'inputs', 'what happens')]
    for name, kind in NAMES.items():
        inputs = getattr(made, name)
        rows.append((kind, len(inputs), '; '.join(inputs), 'refused'))
    for name, what, kind in (
        ('kinds_are_read', 'read', 'images of other kinds'),
        ('are_refused', 'refused', 'images'),
    ):
        test = [v for k, v in vars(made).items() if k.endswith(name)][0]
        cases = test.pytestmark[0].args[1]
        said = {
            'read': 'grey, with alpha, 16 bits, CMYK, GIF, BMP, bytes behind',
            'refused': 'empty, cut off, only a header, absurd sizes',
        }[what]
        rows.append((kind, len(cases), said, what))
    return _table(rows)


def fuzz() -> str:
    """Return a table of what tools/fuzz.py has counted."""
    rows = [
        (
            'reader',
            'seconds',
            'inputs',
            'accepted',
            'refused',
            'of new coverage',
            'branches: seeds, end',
            'findings',
        )
    ]
    for name, run in json.loads((RESULTS / 'fuzz.json').read_text()).items():
        rows.append(
            (
                name,
                run['seconds'],
                f'{run["executions"]:,}',
                f'{run["read"]:,}',
                f'{run["refused"]:,}',
                run['new_inputs'],
                f'{run["edges_of_seeds"]}, {run["edges"]}',
                len(run['findings']),
            )
        )
    return _table(rows)


if __name__ == '__main__':
    PAGE.write_text(page(PAGE.read_text()))
    print(f'Wrote {PAGE}')
