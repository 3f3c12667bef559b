"""Write configs, metafile.yml and README.md of a family from its table.yml.

A table has ``configs``, a name with ``*`` for what a row gives; for each
source row -> published accuracy; ``ours``, ``notes`` and ``remarks`` (in the
config) in the same form; and the rows that have no number.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from model_table import METAFILE, PAGE, page

from config_rules import classification, embedding
from config_rules.text import config_name
from kd_det.cli import run_tool
from kd_det.errors import UserError, nearest

ROOT = Path(__file__).parents[1]
TABLE = 'table.yml'
FAMILIES = [p.parent for p in sorted(ROOT.glob(f'configs/*/{TABLE}'))]
KEYS = 'configs title weights adaptor ours notes remarks unpublished'.split()


class Number(str):
    """A number in YAML with the digits that it was written with."""


yaml.SafeDumper.add_representer(
    Number, lambda d, v: d.represent_scalar('tag:yaml.org,2002:float', v)
)


def family_files(folder: Path) -> dict[str, str]:
    """Return path in the folder -> text of all that its table makes.

    Raises:
        UserError: The table has an unknown key or lacks something.
    """
    # all values as they are written: 70.10 has two decimals
    family = yaml.load((folder / TABLE).read_text(), yaml.BaseLoader)
    rules = embedding if 'alone' in family else classification
    by_hand = [f'{name}.py' for name in family.get('by_hand', '').split()]
    files, tables = {}, []
    for table in family['tables']:
        _check(folder, table, family)
        rows = []
        for key in rules.ordered(_rows(table, family), family):
            name = config_name(table['configs'], key)
            remark = table.get('remarks', {}).get(key, '')
            made = rules.Rules(folder, family, table, name, remark)
            rows.append(_meta_row(name, key, table, family))
            for path, write in made.files().items():
                if path not in by_hand:
                    files[path] = write()
        title = table.get('title') or made.title()
        tables.append(dict(title=title, rows=rows))
    meta = {key: family[key] for key in ('title', 'score') if key in family}
    meta['about'] = (
        f'{family["about"]} The configs and this page are written from '
        f'`{TABLE}` by `make configs`.'
    )
    meta |= dict(sources=family['sources'], tables=tables)
    text = yaml.safe_dump(meta, sort_keys=False, allow_unicode=True)
    return _formatted(files) | {
        METAFILE: f'# Written from {TABLE} by `make configs`.\n{text}',
        PAGE: page(meta),
    }


def _rows(table: dict, family: dict) -> list[str]:
    sources = [table.get(key, {}) for key in (*family['sources'], 'ours')]
    keys = [key for source in sources for key in source]
    return list(dict.fromkeys(keys + table.get('unpublished', '').split()))


def _meta_row(name: str, key: str, table: dict, family: dict) -> dict:
    row = dict(config=name)
    for source in family['sources']:
        if key in table.get(source, {}):
            row |= dict(published=Number(table[source][key]), source=source)
    for field, column in dict(note='notes', ours='ours').items():
        if key in table.get(column, {}):
            row[field] = table[column][key]
    return row


def _check(folder: Path, table: dict, family: dict) -> None:
    known = [*KEYS, *family['sources']]
    for key in table:
        if key not in known:
            raise UserError(
                f'{str(folder / TABLE)!r}: table {table["configs"]!r} has '
                f'{key!r}{nearest(key, known)}; accepted are the sources and '
                f'{", ".join(KEYS)}.'
            )


def _formatted(files: dict[str, str]) -> dict[str, str]:
    """Format Python as `make lint` wants it."""
    with tempfile.TemporaryDirectory() as temporary:
        for name, text in files.items():
            path = Path(temporary, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        settings = f'--config={ROOT / "pyproject.toml"}'
        command = [sys.executable, '-m', 'ruff', 'format', settings]
        quiet = dict(stdout=subprocess.DEVNULL, check=True)
        subprocess.run([*command, temporary], **quiet)
        return {name: Path(temporary, name).read_text() for name in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'folders',
        nargs='*',
        metavar='FOLDER',
        default=FAMILIES,
        help='e.g. configs/cifar (all that have a table)',
    )
    for folder in map(Path, parser.parse_args().folders):
        for name, text in family_files(folder).items():
            (folder / name).write_text(text)
        print(f'Wrote {folder}')


if __name__ == '__main__':
    run_tool(main)
