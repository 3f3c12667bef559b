"""The notebooks run from the first cell to the last, and hold no output."""

import json
from pathlib import Path

import matplotlib
import pytest

NOTEBOOKS = sorted(Path(__file__).parents[1].glob('docs/notebooks/*.ipynb'))


def check_class_means(names: dict) -> None:
    cosine, seen = names['cosine'], names['bank'].counts > 0
    assert seen.sum() > 3
    assert cosine.diagonal().numpy()[seen] == pytest.approx(1, abs=1e-5)


def check_detector(names: dict) -> None:
    for run in (names['teacher'], names['student']):
        assert 0 <= run.metrics['coco/bbox_mAP'] <= 1
    detector = names['detector']
    assert len(detector.dataset_meta['classes']) == 7
    assert detector.roi_head.bbox_head.num_classes == 7


CHECKS = dict(class_means=check_class_means, distil_a_detector=check_detector)


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
    CHECKS[path.stem](names)


def test_there_are_notebooks():
    assert NOTEBOOKS
