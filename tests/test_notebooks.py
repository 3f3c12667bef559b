"""The notebooks run from the first cell to the last, and hold no output."""

import json
from pathlib import Path

import matplotlib
import pytest

NOTEBOOKS = sorted(Path(__file__).parents[1].glob('docs/notebooks/*.ipynb'))


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    matplotlib.use('agg')
    monkeypatch.chdir(tmp_path)
    cells = json.loads(path.read_text())['cells']
    code = [cell for cell in cells if cell['cell_type'] == 'code']
    assert code and not any(cell['outputs'] for cell in code)
    names = {'__name__': 'notebook'}
    for number, cell in enumerate(code):
        text = ''.join(cell['source'])
        exec(compile(text, f'{path.name}, cell {number}', 'exec'), names)
    cosine, seen = names['cosine'], names['bank'].counts > 0
    assert seen.sum() > 3
    assert cosine.diagonal().numpy()[seen] == pytest.approx(1, abs=1e-5)


def test_there_are_notebooks():
    assert NOTEBOOKS
