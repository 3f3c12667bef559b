"""OpenMMLab's model index: the keys that its tools read of metafiles."""

from collections.abc import Iterable
from pathlib import Path

import yaml

INDEX = 'model-index.yml'
METAFILE = 'metafile.yml'
HEAD = '# Written by `make configs`.\n'
# Folders whose configs are in no table, with the title of their collection.
UNTABLED = {
    'configs': 'Detectors on COCO',
    'configs/demo': 'Demo on made-up images',
    'configs/detection': 'Detectors with other backbones and on other data',
}


def collection(title: str, folder: str, names: Iterable[str]) -> dict:
    """Return ``Collections`` and ``Models`` of a metafile.

    Args:
        title: Name of the collection.
        folder: Folder of its configs, seen from the root.
        names: Names of the configs. They have no ``Results``, since no
            weights are published with them.
    """
    models = [
        {
            'Name': name,
            'In Collection': title,
            'Config': f'{folder}/{name}.py',
        }
        for name in names
    ]
    return dict(Collections=[dict(Name=title)], Models=models)


def index_files(root: Path) -> dict[str, str]:
    """Return path -> text of the index and of the metafiles without a table.

    Args:
        root: With ``configs``, whose other metafiles are written already.
    """
    files = {}
    for folder, title in UNTABLED.items():
        names = sorted(path.stem for path in (root / folder).glob('*.py'))
        meta = collection(title, folder, names)
        text = yaml.safe_dump(meta, sort_keys=False)
        files[f'{folder}/{METAFILE}'] = HEAD + text
    found = (
        path.relative_to(root).as_posix()
        for path in root.glob(f'configs/*/{METAFILE}')
    )
    imports = sorted({*files, *found})
    files[INDEX] = HEAD + yaml.safe_dump(dict(Import=imports))
    return files
