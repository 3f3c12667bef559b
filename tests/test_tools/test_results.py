"""The tables of the pages are what the results files give."""

import json
import runpy
from pathlib import Path

import pytest

from kd_det.errors import UserError

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / 'tools/results.py'))


def test_tables_of_the_pages():
    for page, text in TOOL['pages'](ROOT).items():
        assert (ROOT / page).read_text() == text, 'tools/results.py tables'


def test_results_files():
    for path in (ROOT / 'docs/results').glob('*/*.json'):
        text = path.read_text()
        record = json.loads(text)
        if path.parent.name == 'benchmarks':
            assert len(record['rows']['whole step']['seconds']) >= 3
        else:
            assert path.stem.endswith(f'_seed{record["seed"]}'), path
            assert record['validated_epoch'] == record['epochs'], path
        for place in ('"/', '"../', '"~'):  # of one machine
            assert place not in text, path


@pytest.fixture
def root(tmp_path):
    """A project with three seeds of a control and two rows beside it."""
    (tmp_path / 'docs/results').mkdir(parents=True)
    table = dict(
        page='docs/page.md',
        name='small',
        metric='mAP',
        control='alone',
        sets=dict(cards='cards', cells='bccd'),
        rows={'alone': 'baseline', 'with KD': 'kd', 'with ND': 'nd'},
    )
    (tmp_path / 'docs/results/tables.json').write_text(json.dumps([table]))
    (tmp_path / 'docs/page.md').write_text(
        'Before.\n\n<!-- results: small -->\nold\n<!-- end -->\n\n'
        '<!-- results: other -->\n<!-- end -->\n'
    )
    scores = dict(baseline=[0.58, 0.60, 0.62], kd=[0.61, 0.63, 0.66], nd=[0.5])
    for row, values in scores.items():
        runs = [
            write_run(tmp_path / f'{row}{seed}', seed, value)
            for seed, value in enumerate(values)
        ]
        TOOL['add'](tmp_path, 'cards', row, runs)
    run = write_run(tmp_path / 'cells', 0, 0.4)
    TOOL['add'](tmp_path, 'bccd', 'baseline', [run])
    return tmp_path


def write_run(folder, seed, score, epochs=8):
    folder.mkdir()
    record = dict(
        config='x',
        seed=seed,
        options={'data_root': '/somewhere/data/cards/', 'file': '../a/b.py'},
        initial_weights=dict(teacher={'/x/y/z.pth': 'abc'}),
        epochs=epochs,
        data={},
        metrics=dict(mAP=score),
        trained={
            'one.loss': 1.0,
            'one.acc': 90 + seed,
            'two.acc': 0.0,
            'logit.kd_grad_share': 24.6098 + seed,
            'logit.kd_grad_cosine': 0.867,
        },
        logged={'eval/cross_entropy': 2.29 + seed},
    )
    (folder / 'run.json').write_text(json.dumps(record))
    return str(folder)


# half widths by hand: sd / sqrt(3) x 4.3027; sd of 58, 60, 62 is 2, of the
# gains 3, 3, 4 it is 0.577
TABLE = """\
Before.

<!-- results: small -->

| mAP in percent | cards | cells |
| --- | --- | --- |
| alone | 60.0 ± 5.0 (n = 3) | 40.0 (n = 1) |
| with KD | 63.3 ± 6.3 (n = 3); +3.3 ± 1.4 | – |
| with ND | 50.0 (n = 1); -8.0 | – |

<!-- end -->

<!-- results: other -->
<!-- end -->
"""


def test_a_table(root):
    TOOL['write_tables'](root)
    assert (root / 'docs/page.md').read_text() == TABLE
    TOOL['write_tables'](root)
    assert (root / 'docs/page.md').read_text() == TABLE


def test_a_column_of_what_training_logged(root):
    path = root / 'docs/results/tables.json'
    (table,) = json.loads(path.read_text())
    table['sets'] = {'test': 'cards', 'train': dict(set='cards', metric='acc')}
    path.write_text(json.dumps([table]))
    TOOL['write_tables'](root)
    text = (root / 'docs/page.md').read_text()
    # 90, 91, 92: sd 1, half width 1 / sqrt(3) x 4.3027
    assert '| alone | 60.0 ± 5.0 (n = 3) | 91.0 ± 2.5 (n = 3) |' in text
    assert '| with ND | 50.0 (n = 1); -8.0 | 90.0 (n = 1); +0.0 |' in text


def test_a_column_of_what_validation_logged(root):
    path = root / 'docs/results/tables.json'
    (table,) = json.loads(path.read_text())
    table['sets'] = dict(test=dict(set='cards', metric='eval/cross_entropy'))
    path.write_text(json.dumps([table]))
    TOOL['write_tables'](root)
    text = (root / 'docs/page.md').read_text()
    assert '| alone | 3.3 ± 2.5 (n = 3) |' in text


def test_a_table_of_gradients(root):
    path = root / 'docs/results/tables.json'
    table = dict(
        page='docs/page.md',
        name='small',
        gradients='cards',
        rows={'with KD': 'kd', 'not run': 'none'},
    )
    path.write_text(json.dumps([table]))
    TOOL['write_tables'](root)
    text = (root / 'docs/page.md').read_text()
    assert text.split('<!-- end -->')[0].splitlines()[4:] == [
        '| run | loss | share of the gradient | cosine |',
        '| --- | --- | --- | --- |',
        '| with KD | `logit.loss_kd` | 25 | 0.87 |',
        '',
    ]


def test_no_place_of_a_machine_is_kept(root):
    path = root / 'docs/results/cards/kd_seed1.json'
    record = json.loads(path.read_text())
    assert record['options'] == dict(data_root='cards', file='b.py')
    assert record['initial_weights'] == dict(teacher={'z.pth': 'abc'})


def test_a_row_is_one_training(root):
    run = write_run(root / 'longer', 3, 0.7, epochs=12)
    TOOL['add'](root, 'cards', 'kd', [run])
    with pytest.raises(UserError, match='kd_seed3.json and kd_seed0.json of'):
        TOOL['pages'](root)


def test_a_page_without_the_markers(root):
    (root / 'docs/page.md').write_text('<!-- results: small -->\n')
    with pytest.raises(UserError, match='docs/page.md must have'):
        TOOL['pages'](root)


def test_the_readme_shows_a_run_of_the_demo(tmp_path):
    results = json.loads((ROOT / 'docs/results/demo.json').read_text())
    results['models']['alone']['mAP'] = 0.1234
    run = tmp_path / 'run'
    for folder in (run, tmp_path / 'docs/results', tmp_path / 'docs/images'):
        folder.mkdir(parents=True)
    (run / 'results.json').write_text(json.dumps(results))
    (run / 'demo.png').write_bytes(b'picture')
    mark = '<!-- demo table -->'
    (tmp_path / 'README.md').write_text(f'A\n\n{mark}\nold\n{mark}\n\nB\n')
    TOOL['add_demo'](tmp_path, run)
    before, shown, after = (tmp_path / 'README.md').read_text().split(mark)
    assert (before, after) == ('A\n\n', '\n\nB\n')
    assert '| 12.3 |' in shown and 'old' not in shown
    kept = json.loads((tmp_path / 'docs/results/demo.json').read_text())
    assert kept == results
    assert (tmp_path / 'docs/images/demo.png').read_bytes() == b'picture'


def test_costs(tmp_path):
    """By hand: a row of each kind, and one without mmrazor or memory."""
    folder = tmp_path / 'docs/results/benchmarks'
    folder.mkdir(parents=True)
    rows = {
        'student and teacher': dict(to_student=[1.24, 1.2, 1.3]),
        'whole step': dict(
            to_student=[1.28, 1.25, 1.31],
            to_floor=[1.03, 1.02, 1.04],
            memory_bytes=3 * 2**20,
        ),
        'mmrazor X': dict(to_student=[1.44, 1.4, 1.5]),
    }
    (folder / 'a.json').write_text(json.dumps(dict(rows=rows)))
    rows.pop('mmrazor X')
    rows['whole step']['memory_bytes'] = None
    (folder / 'b.json').write_text(json.dumps(dict(rows=rows)))
    lines = TOOL['costs'](tmp_path, dict(rows=dict(PKD='a', KD='b')))
    a, b = lines.splitlines()[2:]
    assert a == (
        '| PKD | 1.24 (1.20 to 1.30) | 1.28 (1.25 to 1.31) | '
        '1.03 (1.02 to 1.04) | X 1.44 (1.40 to 1.50) | 3 |'
    )
    assert b.endswith('1.03 (1.02 to 1.04) |  | unknown |')
