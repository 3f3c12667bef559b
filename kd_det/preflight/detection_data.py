"""Does a COCO json hold the classes, usable boxes and the images?"""

import json
import os
import os.path as osp

from kd_det.errors import UserError, few, nearest

# what MMDetection reads of a COCO json
NEEDED = {
    'images': ('id', 'file_name', 'height', 'width'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox', 'area'),
}


def check_coco(
    leaf: dict, path: str, classes: tuple[str, ...], split: str
) -> None:
    """Check the annotation file and the images of a detection data set.

    Args:
        leaf: The config of the data set.
        path: Its annotation file.
        classes: Its class names.
        split: Which loader reads it, for messages.

    Raises:
        FileNotFoundError: The file or an image is missing.
        UserError: The file is no COCO json, its categories do not include
            the classes, stand in another order, or no object uses them.
    """
    table = _check_annotations(path, classes, split)
    names = [image['file_name'] for image in table['images']]
    _check_images(leaf, path, names)


def _check_annotations(
    path: str, classes: tuple[str, ...], split: str
) -> dict:
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'There is no {split} annotation file {path!r}; set data_root '
            '(--cfg-options data_root=FOLDER) to a folder that holds it.'
        )
    try:
        with open(path) as file:
            table = json.load(file)
        names = {c['id']: str(c['name']) for c in table['categories']}
        used = {a['category_id'] for a in table['annotations']}
        for part, keys in NEEDED.items():
            for entry in table[part]:
                for key in keys:
                    entry[key]
    except (ValueError, KeyError, TypeError) as error:
        needed = '; '.join(
            f'{part} with {", ".join(keys)}' for part, keys in NEEDED.items()
        )
        raise UserError(
            f'Annotation file {path!r} is not COCO json ({error!r}); it '
            f'needs {needed}; categories with id, name.'
        ) from None
    absent = [name for name in classes if name not in names.values()]
    if absent:
        raise UserError(
            f'Class {absent[0]!r} is not among the categories of {path!r} '
            f'({", ".join(names.values())}); write the names as there'
            f'{nearest(absent[0], names.values())}'
        )
    twice = [name for name in classes if [*names.values()].count(name) > 1]
    if twice:
        raise UserError(
            f'Category {twice[0]!r} occurs more than once in {path!r}; merge '
            'them into one id.'
        )
    order = tuple(name for name in names.values() if name in classes)
    if order != tuple(classes) and split == 'train':
        raise UserError(
            f'The classes stand in another order than in {path!r}, and the '
            f'labels would follow the file; write classes={order}.'
        )
    if order != tuple(classes):
        # what is trained has the training file's order: no list fits both
        raise UserError(
            f'{path!r} lists its categories as {order}, and the labels would '
            'follow it; bring the entries of its "categories" into the '
            f'order of the classes, {tuple(classes)}, and leave their ids.'
        )
    if not any(names.get(category) in classes for category in used):
        raise UserError(
            f'No annotation of {path!r} has a category id of the classes '
            f'{tuple(classes)}; it uses ids {few(sorted(map(str, used)))}, '
            f'the categories have {few(sorted(map(str, names)))}.'
        )
    if split == 'train':
        _check_boxes(table, names, classes, path)
    return table


def _check_boxes(
    table: dict, names: dict, classes: tuple[str, ...], path: str
) -> None:
    """Stop if MMDetection would leave out every box, and say why."""
    sizes = {i['id']: (i['width'], i['height']) for i in table['images']}
    boxes = [
        entry
        for entry in table['annotations']
        if names.get(entry['category_id']) in classes
        and not entry.get('iscrowd')
    ]
    if any(map(_usable, boxes, (sizes.get(b['image_id']) for b in boxes))):
        return
    if not boxes:
        return
    first = boxes[0]
    if first['image_id'] not in sizes:
        reason = f'the first is of image {first["image_id"]!r}, not in images'
    else:
        reason = (
            f'the first is {first["bbox"]} in an image of '
            f'{"x".join(map(str, sizes[first["image_id"]]))} pixels'
        )
    raise UserError(
        f'There is no usable box in {path!r} ({len(boxes)} of the classes): '
        f'{reason}; MMDetection wants [left, top, width, height] in pixels, '
        'at least one pixel of it in the image.'
    )


def _usable(entry: dict, size: tuple[float, float] | None) -> bool:
    """Return whether MMDetection keeps a box, as its COCO data set does."""
    if size is None:
        return False
    left, top, width, height = entry['bbox']
    inside = (
        min(left + width, size[0]) - max(left, 0),
        min(top + height, size[1]) - max(top, 0),
    )
    return min(inside) > 0 and entry['area'] > 0 and min(width, height) >= 1


def _check_images(leaf: dict, path: str, names: list[str]) -> None:
    """Stop if images that an annotation file names are not there."""
    prefix = (leaf.get('data_prefix') or {}).get('img', '')
    folder = osp.join(leaf.get('data_root') or '', prefix)
    if '://' in folder or leaf.get('backend_args'):
        return  # not on this disk
    there = {*os.listdir(folder)} if osp.isdir(folder) else set()
    absent = [
        name
        for name in names
        if name not in there and not osp.isfile(osp.join(folder, name))
    ]
    if absent:
        raise FileNotFoundError(
            f'{len(absent)} of the {len(names)} images of {path!r} are not in '
            f'{folder!r}, the first is {absent[0]!r}; set data_prefix=dict('
            "img='FOLDER/') of the data set, or copy them there."
        )
