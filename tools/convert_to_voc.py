"""Convert a folder in COCO layout to the layout of Pascal VOC 2007.

The images of train/ become the split trainval, those of val/ the split test.
JPEG files are copied, other images are stored as JPEG. Corners are rounded to
whole pixels, counted from 1; boxes marked iscrowd become difficult.
"""

import argparse
import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from kd_det.errors import UserError

SPLITS = dict(train='trainval', val='test')
JPEG = ('.jpg', '.jpeg')


def convert(folder: str | Path, out: str | Path) -> Path:
    """Write ``out/VOC2007``; files of an earlier conversion are replaced.

    Args:
        folder: Holds ``annotations/instances_{train,val}.json``, ``train/``
            and ``val/``.
        out: Output folder, the ``data_root`` of configs.

    Returns:
        The folder VOC2007.

    Raises:
        FileNotFoundError: An annotation file or an image is missing.
        UserError: An annotation file is no COCO file, two images would get
            the same name, or an image cannot be read.
    """
    root = Path(out) / 'VOC2007'
    for name in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (root / name).mkdir(parents=True, exist_ok=True)
    for split, theirs in SPLITS.items():
        source = Path(folder) / f'annotations/instances_{split}.json'
        names: dict[str, str] = {}  # in the output -> in the annotations
        for file, tree in _annotations(source):
            # both splits share a folder, and names may repeat
            path = Path(file)
            name = '_'.join([split, *path.with_suffix('').parts])
            if name in names:
                raise UserError(
                    f'Images {names[name]!r} and {file!r} of {str(source)!r} '
                    f'would both be {name}.jpg; rename one.'
                )
            names[name] = file
            _save(Path(folder) / split / path, root / f'JPEGImages/{name}.jpg')
            tree.write(root / f'Annotations/{name}.xml', 'utf-8')
        listed = root / f'ImageSets/Main/{theirs}.txt'
        listed.write_text('\n'.join([*names, '']), encoding='utf-8')
    return root


def _annotations(
    source: Path,
) -> list[tuple[str, ElementTree.ElementTree]]:
    """Return the file names of the images, each with its XML."""
    try:
        table = json.loads(source.read_text(encoding='utf-8'))
        classes = {c['id']: c['name'] for c in table['categories']}
        notes = defaultdict(list)
        for note in table['annotations']:
            notes[note['image_id']].append(note)
        return [
            (
                image['file_name'],
                _annotation(image, notes[image['id']], classes),
            )
            for image in table['images']
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f'{str(source)!r} is no COCO file of boxes ({error!r}); correct '
            'it, or export it again.'
        ) from None


def _save(source: Path, target: Path) -> None:
    if source.suffix.lower() in JPEG:
        shutil.copyfile(source, target)
        return
    try:
        with Image.open(source) as picture:
            picture.convert('RGB').save(target, quality=95)
    except (OSError, ValueError, SyntaxError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise UserError(
            f'Image {str(source)!r} cannot be read ({error}); replace it.'
        ) from None


def _annotation(
    image: dict, notes: list[dict], classes: dict[int, str]
) -> ElementTree.ElementTree:
    """Return the XML of an image with its boxes."""
    root = ElementTree.Element('annotation')
    size = dict(width=image['width'], height=image['height'], depth=3)
    _add(root, 'size', size)
    for note in notes:
        x, y, width, height = note['bbox']
        left, top = round(x) + 1, round(y) + 1
        thing = ElementTree.SubElement(root, 'object')
        ElementTree.SubElement(thing, 'name').text = classes[
            note['category_id']
        ]
        difficult = str(note.get('iscrowd', 0))
        ElementTree.SubElement(thing, 'difficult').text = difficult
        corners = dict(
            xmin=left,
            ymin=top,
            # the last pixel; MMDetection takes it for the edge
            xmax=max(round(x + width), left + 1),
            ymax=max(round(y + height), top + 1),
        )
        _add(thing, 'bndbox', corners)
    return ElementTree.ElementTree(root)


def _add(parent: ElementTree.Element, name: str, values: dict) -> None:
    element = ElementTree.SubElement(parent, name)
    for key, value in values.items():
        ElementTree.SubElement(element, key).text = str(value)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', help='folder in COCO layout')
    parser.add_argument('out', help='output folder, e.g. data/voc_folder')
    return parser.parse_args(argv)


if __name__ == '__main__':
    args = parse_args()
    try:
        print(convert(args.folder, args.out))
    except (UserError, FileNotFoundError) as error:
        # Not run_tool, since no framework is needed to create data.
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
