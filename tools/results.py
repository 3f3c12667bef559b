"""Keep the results of runs in docs/results, and make the pages' tables.

``add`` copies the records of runs, without their predictions; ``tables``
writes what docs/results/tables.json describes into the pages. A table there
has ``page``, ``name`` (of its markers in the page), ``metric`` (such as mAP),
``control`` (one of its rows), ``sets`` and ``rows``, both a heading -> the
name that ``add`` was given. A column of another metric has ``set`` and
``metric`` in place of the name: one of the scores, or what training or
validation logged, such as accuracy_top-1. A table with ``gradients``, the
name of a set, and ``rows`` shows the share of each loss in the gradient. A
table with ``evaluation``, a heading -> the name of a file of
tools/benchmark_evaluation.py in docs/results, compares evaluations; one with
``loading``, the name of a file of tools/benchmark_data.py, ways to load; one
with ``growth``, the name of a file of tools/growth.py, costs by size. A
table with ``costs`` and ``rows`` shows what `kd_det benchmark --json` wrote to
docs/results/benchmarks.
``demo`` puts what a run of the demo wrote into docs/results, docs/images and
the README.
"""

import argparse
import json
import re
import shutil
from pathlib import Path
from statistics import median

from kd_det.analysis.compare_runs import t_interval
from kd_det.cli import run_tool
from kd_det.demo.results import table as demo_table
from kd_det.engine.run_record import load_record
from kd_det.errors import UserError

ROOT = Path(__file__).parents[1]
RESULTS = 'docs/results'
DEMO = {  # what a run of the demo wrote -> its place
    'results.json': f'{RESULTS}/demo.json',
    'demo.png': 'docs/images/demo.png',
}
DEMO_MARK = '<!-- demo table -->'
SAME = ('config', 'options', 'epochs', 'data')  # whatever the seed


def add(root: Path, data: str, row: str, runs: list[str]) -> None:
    """Copy the records of runs to docs/results/<set>/<row>_seed<N>.json."""
    for run in runs:
        record = _without_places(load_record(run))
        path = root / RESULTS / data / f'{row}_seed{record["seed"]}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=2) + '\n')
        print(f'Wrote {path}')


def add_demo(root: Path, run: str) -> None:
    """Copy what the demo wrote; its table goes into the README."""
    for name, place in DEMO.items():
        shutil.copyfile(Path(run) / name, root / place)
        print(f'Wrote {root / place}')
    readme = root / 'README.md'
    results = json.loads((root / DEMO['results.json']).read_text())
    before, _, after = readme.read_text().split(DEMO_MARK)
    parts = before, f'\n\n{demo_table(results)}\n\n', after
    readme.write_text(DEMO_MARK.join(parts))
    print(f'Wrote {readme}')


def write_tables(root: Path) -> None:
    """Write every table into its page."""
    for page, text in pages(root).items():
        (root / page).write_text(text)
        print(f'Wrote {page}')


def pages(root: Path) -> dict[str, str]:
    """Return name -> text of each page, with tables made of the results."""
    texts = {}
    for table in json.loads((root / RESULTS / 'tables.json').read_text()):
        page, name = table['page'], table['name']
        text = texts.get(page) or (root / page).read_text()
        marked = rf'(<!-- results: {re.escape(name)} -->\n).*?(<!-- end -->)'
        if len(re.findall(marked, text, re.S)) != 1:
            raise UserError(
                f'{page} must have <!-- results: {name} --> and, behind it, '
                '<!-- end --> once, for the table.'
            )
        write = gradients if 'gradients' in table else markdown
        if table.get('costs'):
            write = costs
        if table.get('evaluation'):
            write = evaluation
        if table.get('loading'):
            write = loading
        if table.get('growth'):
            write = growth
        body = f'\n{write(root, table)}\n\n'
        texts[page] = re.sub(
            marked, lambda m, body=body: m[1] + body + m[2], text, flags=re.S
        )
    return texts


def markdown(root: Path, table: dict) -> str:
    """Return one table."""
    sets, rows, metric = table['sets'], table['rows'], table['metric']
    columns = [
        (own['set'], own['metric']) if isinstance(own, dict) else (own, metric)
        for own in sets.values()
    ]
    found = {
        (row, column): _scores(root, row, *column)
        for column in columns
        for row in rows.values()
    }
    lines = [
        f'| {metric} in percent | {" | ".join(sets)} |',
        '| --- ' * (1 + len(sets)) + '|',
    ]
    control = rows[table['control']]
    for heading, row in rows.items():
        cells = []
        for column in columns:
            before = {} if row == control else found[control, column]
            cells.append(_cell(found[row, column], before))
        lines.append(f'| {heading} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def gradients(root: Path, table: dict) -> str:
    """Return one table of what GradientShareHook measured last."""
    lines = ['| run | loss | share of the gradient | cosine |']
    lines.append('| --- ' * 4 + '|')
    for heading, row in table['rows'].items():
        for record in _records(root, row, table['gradients'])[:1]:
            trained = record['trained']
            for key, share in trained.items():
                loss, found, _ = key.partition('_grad_share')
                if found:
                    where, _, name = loss.rpartition('.')
                    cosine = trained[f'{loss}_grad_cosine']
                    lines.append(
                        f'| {heading} | `{where}.loss_{name}` | {share:.2g} | '
                        f'{cosine:.2f} |'
                    )
    return '\n'.join(lines)


def costs(root: Path, table: dict) -> str:
    """Return one table of what steps cost."""
    lines = [
        '| method | student and teacher | whole step | to the floor '
        '| mmrazor | memory, MiB |',
        '| --- ' * 6 + '|',
    ]
    for heading, name in table['rows'].items():
        path = root / RESULTS / 'benchmarks' / f'{name}.json'
        rows = json.loads(path.read_text())['rows']
        step = rows['whole step']
        others = [
            f'{key.removeprefix("mmrazor ")} {_ratio(row["to_student"])}'
            for key, row in rows.items()
            if key.startswith('mmrazor')
        ]
        cells = (
            heading,
            _ratio(rows['student and teacher']['to_student']),
            _ratio(step['to_student']),
            _ratio(step['to_floor']),
            ', '.join(others),
            'unknown'
            if step['memory_bytes'] is None
            else f'{step["memory_bytes"] / 2**20:.0f}',
        )
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def evaluation(root: Path, table: dict) -> str:
    """Return one table of what tools/benchmark_evaluation.py wrote."""
    lines = ['| boxes | images | pycocotools, s | faster-coco-eval, s ']
    lines[0] += '| ratio | mAP | difference |'
    lines.append('| --- ' * 7 + '|')
    for heading, name in table['evaluation'].items():
        found = json.loads((root / RESULTS / f'{name}.json').read_text())
        seconds = [f'{median(own):.2f}' for own in found['seconds'].values()]
        cells = (
            f'{heading}, {found["boxes"]:,}',
            f'{found["images"]:,}',
            *seconds,
            _ratio(found['ratio']),
            f'{100 * found["mAP"]:.1f}',
            f'{found["largest_difference"]:.0e}',
        )
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def loading(root: Path, table: dict) -> str:
    """Return one table of what tools/benchmark_data.py wrote."""
    lines = ['| images | usual, ms | ours, ms | ratio | mean difference |']
    lines.append('| --- ' * 5 + '|')
    path = root / RESULTS / f'{table["loading"]}.json'
    for name, row in json.loads(path.read_text())['rows'].items():
        times = [f'{ms:.3f}' for ms in row['ms'].values()]
        cells = name, *times, _ratio(row['ratio']), f'{row["difference"]:.2g}'
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def growth(root: Path, table: dict) -> str:
    """Return one table of what tools/growth.py wrote."""
    lines = ['| sizes | loss | ms | MiB |', '| --- ' * 4 + '|']
    path = root / RESULTS / f'{table["growth"]}.json'
    for axis, losses in json.loads(path.read_text())['curves'].items():
        for loss, sizes in losses.items():
            first, *_, last = sizes
            cells = (
                f'{int(first):,} to {int(last):,} {axis}',
                loss,
                *(_growth(sizes, unit) for unit in ('ms', 'MiB')),
            )
            lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def _growth(sizes: dict[str, dict], unit: str) -> str:
    """Return the smallest and the largest size's cost."""
    known = [size for size, own in sizes.items() if unit in own]
    if not known:
        return ''
    values = [sizes[size][unit] for size in (known[0], known[-1])]
    first, last = (f'{v:,.0f}' if v > 99 else f'{v:.3g}' for v in values)
    until = '' if known[-1] == [*sizes][-1] else f' (at {int(known[-1]):,})'
    return f'{first} to {last}{until}'


def _ratio(ratio: list[float]) -> str:
    """Return a median ratio with its quartiles."""
    middle, low, high = ratio
    return f'{middle:.2f} ({low:.2f} to {high:.2f})'


def _scores(root: Path, row: str, data: str, metric: str) -> dict[int, float]:
    """Return seed -> score in percent of one row on one set."""
    records = _records(root, row, data)
    return {record['seed']: _score(record, metric) for record in records}


def _records(root: Path, row: str, data: str) -> list[dict]:
    """Return the records of one row on one set, which differ in the seed."""
    files = sorted((root / RESULTS / data).glob(f'{row}_seed*.json'))
    records = [json.loads(file.read_text()) for file in files]
    for file, record in zip(files, records):
        for key in SAME:
            if record[key] != records[0][key]:
                raise UserError(
                    f'{file.name} and {files[0].name} of {data} differ in '
                    f'{key}; one row holds runs that differ in the seed.'
                )
    return records


def _score(record: dict, metric: str) -> float:
    if metric in record['metrics']:
        return 100 * record['metrics'][metric]
    # of peers the first, whose scores the record has
    return next(
        value
        for name, value in (record['trained'] | record['logged']).items()
        if name.rpartition('.')[2] == metric
    )


def _cell(scores: dict[int, float], control: dict[int, float]) -> str:
    """Return mean, t interval and number of seeds, and the gain by seed."""
    if not scores:
        return '–'
    parts = [f'{_mean([*scores.values()])} (n = {len(scores)})']
    gains = [scores[s] - control[s] for s in scores if s in control]
    if gains:
        parts.append(_mean(gains, '+'))
    return '; '.join(parts)


def _mean(values: list[float], sign: str = '') -> str:
    if len(values) == 1:
        return f'{values[0]:{sign}.1f}'
    mean, half = t_interval(values)
    return f'{mean:{sign}.1f} ± {half:.1f}'


def _without_places(node: object) -> object:
    """Keep the last name of every path that leads out of the project."""
    if isinstance(node, dict):
        return {
            _without_places(key): _without_places(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_without_places(value) for value in node]
    if isinstance(node, str) and node.startswith(('/', '../', '~')):
        return Path(node).name
    return node


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest='command', required=True)
    adds = commands.add_parser('add', help='copy the records of runs')
    adds.add_argument('set', help='e.g. cards')
    adds.add_argument('row', help='e.g. kd_lite2_lite0')
    adds.add_argument('runs', nargs='+', metavar='RUN', help='work dir')
    demos = commands.add_parser('demo', help='show what the demo wrote')
    demos.add_argument('run', metavar='RUN', help='its work dir')
    commands.add_parser('tables', help='write the tables of the pages')
    args = parser.parse_args()
    if args.command == 'add':
        add(ROOT, args.set, args.row, args.runs)
    elif args.command == 'demo':
        add_demo(ROOT, args.run)
    else:
        write_tables(ROOT)


if __name__ == '__main__':
    run_tool(main)
