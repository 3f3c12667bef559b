"""Write the README.md of folders of configs from their metafile.yml."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import yaml

from kd_det.cli import run_tool
from kd_det.errors import UserError

METAFILE = 'metafile.yml'
PAGE = 'README.md'
KEYS = {'config', 'published', 'source', 'note', 'ours'}
SCORE = 'Top-1 accuracy'
HEADER = '| config | published | source | ours |\n| --- | --- | --- | --- |'


def model_table(folder: str | Path) -> str:
    """Return the text of the page, with published and our accuracy.

    The metafile has ``title``, ``about``, ``sources`` (name -> where it is)
    and ``tables``: each with a ``title`` and ``rows``; ``score`` if that is
    no top-1 accuracy. A row has ``config``, the name of a config in the
    folder, and perhaps ``published`` (percent) with its ``source`` and a
    ``note``, and ``ours``, as text.

    Args:
        folder: With the metafile and the configs.

    Raises:
        FileNotFoundError: The folder has no metafile.
        UserError: A config stands in no row or in two, a row names a config
            or a source that is not there, or has an unknown key.
    """
    path = Path(folder) / METAFILE
    if not path.is_file():
        raise FileNotFoundError(
            f'There is no {str(path)!r}; give a folder of configs that has '
            "one, e.g. 'configs/cifar'."
        )
    # all values as they are written: 70.10 has two decimals
    meta = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
    _check(path, meta)
    return page(meta)


def page(meta: dict) -> str:
    """Return the text of the page, see :func:`model_table`."""
    parts = [
        f'# {meta["title"]}',
        meta['about'],
        f'{meta.get("score", SCORE)} in percent.',
    ]
    header = HEADER
    if 'score' not in meta:
        header = header.replace('published', 'published top-1')
    for table in meta['tables']:
        rows = '\n'.join(_line(row) for row in table['rows'])
        parts += [f'## {table["title"]}', f'{header}\n{rows}']
    sources = '\n'.join(
        f'- {name}: {text}' for name, text in meta['sources'].items()
    )
    return '\n\n'.join([*parts, '## Sources', sources]) + '\n'


def write_model_tables(folders: Sequence[str]) -> None:
    """Write the page of each folder, see :func:`model_table`."""
    for folder in folders:
        page = Path(folder) / PAGE
        page.write_text(model_table(folder))
        print(f'Wrote {page}')


def _line(row: dict[str, str]) -> str:
    source = '; '.join(row[key] for key in ('source', 'note') if key in row)
    cells = (
        f'`{row["config"]}`',
        row.get('published', ''),
        source,
        row.get('ours', ''),
    )
    return f'| {" | ".join(cell or "–" for cell in cells)} |'


def _check(path: Path, meta: dict) -> None:
    rows = [row for table in meta['tables'] for row in table['rows']]
    for row in rows:
        unknown = sorted(row.keys() - KEYS)
        if unknown:
            raise UserError(
                f'{str(path)!r}: the row {row} has {unknown[0]!r}; accepted '
                f'are {", ".join(sorted(KEYS))}.'
            )
        if ('published' in row) != ('source' in row):
            raise UserError(
                f'{str(path)!r}: the row {row} needs both published and '
                'source, or neither.'
            )
        if (
            row.get('source', next(iter(meta['sources'])))
            not in (meta['sources'])
        ):
            raise UserError(
                f'{str(path)!r}: the row {row} has a source that is none of '
                f'{", ".join(meta["sources"])}.'
            )
    listed = [row['config'] for row in rows]
    there = {config.stem for config in path.parent.glob('*.py')}
    wrong = sorted(
        there.symmetric_difference(listed)
        | {name for name in listed if listed.count(name) > 1}
    )
    if wrong:
        raise UserError(
            f'{str(path)!r}: each config of the folder has one row; look at '
            f'{wrong[0]!r}.'
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'folders', nargs='+', metavar='FOLDER', help='e.g. configs/cifar'
    )
    write_model_tables(parser.parse_args().folders)


if __name__ == '__main__':
    run_tool(main)
