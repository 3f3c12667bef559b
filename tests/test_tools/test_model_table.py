"""The page of a folder of configs, made of its metafile."""

import pytest
from model_table import model_table, write_model_tables

from kd_det.errors import UserError

META = """
title: Two
about: Two configs.
sources:
  paper: '[the paper](https://arxiv.org/abs/0)'
tables:
  - title: All
    rows:
      - config: a
      - config: b
        published: 70.10
        source: paper
        note: table 1
        ours: 69.9 ± 0.2
"""
PAGE = """# Two

Two configs.

Top-1 accuracy in percent.

## All

| config | published top-1 | source | ours |
| --- | --- | --- | --- |
| `a` | – | – | – |
| `b` | 70.10 | paper; table 1 | 69.9 ± 0.2 |

## Sources

- paper: [the paper](https://arxiv.org/abs/0)
"""


@pytest.fixture
def folder(tmp_path):
    for name in ('a', 'b'):
        (tmp_path / f'{name}.py').touch()
    (tmp_path / 'metafile.yml').write_text(META)
    return tmp_path


def test_numbers_stand_as_they_were_written(folder):
    write_model_tables([str(folder)])
    assert (folder / 'README.md').read_text() == PAGE


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('      - config: a\n', '', "one row; look at 'a'"),
        ('- config: a\n', '- config: b\n', "one row; look at 'a'"),
        ('- config: a\n', '- config: a\n      - config: a\n', "at 'a'"),
        ('- config: a\n', '- config: c\n', "one row; look at 'a'"),
        ('source: paper', 'source: book', 'none of paper'),
        ('        source: paper\n', '', 'both published and source'),
        ('note:', 'remark:', "has 'remark'; accepted are config"),
    ],
)
def test_wrong_metafiles(folder, old, new, message):
    (folder / 'metafile.yml').write_text(META.replace(old, new))
    with pytest.raises(UserError, match=message):
        model_table(folder)


def test_another_score(folder):
    meta = META.replace('title: Two', 'title: Two\nscore: Recall@1', 1)
    (folder / 'metafile.yml').write_text(meta)
    page = model_table(folder)
    assert 'Recall@1 in percent.' in page
    assert 'op-1' not in page
    assert '| config | published | source | ours |' in page


def test_no_metafile(tmp_path):
    with pytest.raises(FileNotFoundError, match='has one'):
        model_table(tmp_path)
