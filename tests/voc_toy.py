"""The shapes as a VOC data set: XML files, a list of them, JPEG images."""

import json
from pathlib import Path

from PIL import Image

OBJECT = (
    '<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>'
    '<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax>'
    '<ymax>{ymax}</ymax></bndbox></object>'
)
FILE = (
    '<annotation><size><width>{width}</width><height>{height}</height>'
    '<depth>3</depth></size>{objects}</annotation>'
)


def write_voc(shapes: Path, folder: Path, split: str = 'train') -> Path:
    """Write the files of one split; return the folder."""
    source = shapes / f'annotations/instances_{split}.json'
    table = json.loads(source.read_text())
    names = {c['id']: c['name'] for c in table['categories']}
    for part in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (folder / part).mkdir(parents=True, exist_ok=True)
    stems = []
    for image in table['images']:
        stems.append(Path(image['file_name']).stem)
        with Image.open(shapes / split / image['file_name']) as picture:
            picture.save(folder / f'JPEGImages/{stems[-1]}.jpg')
        objects = ''
        for entry in table['annotations']:
            if entry['image_id'] == image['id']:
                x, y, w, h = map(round, entry['bbox'])
                objects += OBJECT.format(
                    name=names[entry['category_id']],
                    difficult=0,
                    xmin=x + 1,
                    ymin=y + 1,
                    xmax=x + w,
                    ymax=y + h,
                )
        text = FILE.format(width=64, height=64, objects=objects)
        (folder / f'Annotations/{stems[-1]}.xml').write_text(text)
    (folder / f'ImageSets/Main/{split}.txt').write_text('\n'.join(stems))
    return folder


def voc_leaf(folder: Path, classes: tuple[str, ...], **changes) -> dict:
    """Return the config of the training set."""
    leaf = dict(
        type='VOCDataset',
        data_root=str(folder),
        ann_file='ImageSets/Main/train.txt',
        data_prefix=dict(sub_data_root=''),
        metainfo=dict(classes=classes),
        pipeline=[dict(type='LoadImageFromFile')],
    )
    return leaf | changes
