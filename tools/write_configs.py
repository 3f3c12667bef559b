"""Write configs, metafile.yml and README.md of a family from its table.yml.

A table has ``configs``, a name with ``*`` for what a row gives; for each
source row -> published accuracy; ``ours``, ``notes`` and ``remarks`` (in the
config) in the same form; and the rows that have no number.  The model index of
all configs, ``model-index.yml`` at the root, is written too.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from model_index import collection, index_files
from model_table import METAFILE, PAGE, page

from config_rules import classification, embedding
from config_rules.text import config_name
from kd_det.cli import run_tool
from kd_det.errors import UserError, nearest

ROOT = Path(__file__).parents[1]
TABLE = 'table.yml'
FAMILIES = [p.parent for p in sorted(ROOT.glob(f'configs/*/{TABLE}'))]
# the keys of a table.yml, of its parts by name and of each of its tables
KEYS = (
    'title score about sources alone data settings recipes mobile networks '
    'ablations by_hand variant remark tables'
)
PARTS = dict(
    data='title head epochs teacher keys remark single pair',
    settings='backbone head teacher',
    networks='title base backbone head stages before mid_channels cfg ckpt '
    'keys remark',
)
TABLE_KEYS = 'configs title weights adaptor ours notes remarks unpublished'


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
    _check_family(family)
    rules = embedding if 'alone' in family else classification
    by_hand = [f'{name}.py' for name in family.get('by_hand', '').split()]
    files, tables = {}, []
    for table in family['tables']:
        rows = []
        for key in rules.ordered(_rows(table, family), family):
            name = config_name(table['configs'], key)
            remark = table.get('remarks', {}).get(key, '')
            row = rules.Rules(folder, family, table, name, remark)
            rows.append(_meta_row(name, key, table, family))
            for path, write in row.files().items():
                text = '' if path in by_hand else write()
                if files.setdefault(path, text) != text:
                    raise UserError(
                        f'{table["configs"]!r}: {path!r} is another file than '
                        'that of an earlier table; give both the same values.'
                    )
        title = table.get('title') or row.title()
        tables.append(dict(title=title, rows=rows))
    made = {path: text for path, text in files.items() if text}
    return _formatted(made) | _pages(family, tables, folder.name)


def _pages(family: dict, tables: list[dict], name: str) -> dict[str, str]:
    meta = {key: family[key] for key in ('title', 'score') if key in family}
    meta['about'] = (
        f'{family["about"]} The configs and this page are written from '
        f'`{TABLE}` by `make configs`.'
    )
    meta |= dict(sources=family['sources'], tables=tables)
    names = [row['config'] for table in tables for row in table['rows']]
    meta |= collection(family['title'], f'configs/{name}', names)
    text = yaml.safe_dump(meta, sort_keys=False, allow_unicode=True)
    return {
        METAFILE: f'# Written from {TABLE} by `make configs`.\n{text}',
        PAGE: page(meta),
    }


def _rows(table: dict, family: dict) -> list[str]:
    sources = [table.get(source, {}) for source in family['sources']]
    listed = [key for source in sources for key in source]
    listed += table.get('unpublished', '').split()
    rows = dict.fromkeys([*listed, *table.get('ours', {})])
    twice = [key for key in rows if listed.count(key) > 1]
    noted = [*table.get('notes', {}), *table.get('remarks', {})]
    for key in [*twice, *(key for key in noted if key not in rows)]:
        raise UserError(
            f'{table["configs"]!r}: the row {key!r} needs one source, or to '
            'be listed under unpublished.'
        )
    return [*rows]


def _meta_row(name: str, key: str, table: dict, family: dict) -> dict:
    row = dict(config=name)
    for source in family['sources']:
        if key in table.get(source, {}):
            row |= dict(published=Number(table[source][key]), source=source)
    for field, column in dict(note='notes', ours='ours').items():
        if key in table.get(column, {}):
            row[field] = table[column][key]
    return row


def _check_family(family: dict) -> None:
    _check(TABLE, family, KEYS)
    for part, known in PARTS.items():
        for name, entry in family.get(part, {}).items():
            if isinstance(entry, dict):  # else a title
                _check(f'{part}: {name}', entry, known)
    known = f'{TABLE_KEYS} {" ".join(family["sources"])}'
    for table in family['tables']:
        _check(f'table {table.get("configs")}', table, known)
        accepted = ' '.join(['beta scales', *classification.WEIGHTS])
        _check(
            f'{table["configs"]}: weights', table.get('weights', {}), accepted
        )


def _check(place: str, found: dict, accepted: str) -> None:
    known = accepted.split()
    for key in found:
        if key not in known:
            raise UserError(
                f'{place!r} has {key!r}{nearest(key, known)}; accepted are '
                f'{", ".join(known)}.'
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
    for name, text in index_files(ROOT).items():
        (ROOT / name).write_text(text)


if __name__ == '__main__':
    run_tool(main)
