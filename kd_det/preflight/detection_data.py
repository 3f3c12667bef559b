"""Check that a COCO json has the classes, usable boxes and images."""

import numpy as np

from kd_det.compat.coco_files import is_plain_id
from kd_det.errors import UserError, counted, few, nearest
from kd_det.preflight.boxes import first, share
from kd_det.preflight.coco_table import CocoTable, find, read_coco
from kd_det.preflight.data_report import DataReport
from kd_det.preflight.image_files import check_images
from kd_det.preflight.used_boxes import check_used


def check_coco(
    leaf: dict,
    path: str,
    classes: tuple[str, ...],
    split: str,
    labelled: bool = True,
) -> DataReport:
    """Check the annotation file and images of a detection data set.

    Args:
        leaf: The data set's config.
        path: Its annotation file.
        classes: Its class names.
        split: Which loader reads it, for messages.
        labelled: Whether boxes are required; default: True.

    Returns:
        A report of its contents, with warnings.

    Raises:
        FileNotFoundError: The file or an image is missing.
        UserError: The file is not a COCO json, its categories lack a class,
            are in a different order, or have no object; ids, boxes or image
            sizes are implausible.
    """
    table = read_coco(path, split)
    _check_categories(table, classes, split)
    report = DataReport(split, path, {'images': len(table.files)})
    if not labelled:
        check_images(table, leaf, report)
        return report
    _check_some(table, split)
    labels = _labels(table, classes)
    check_images(table, leaf, report)
    check_used(table, labels, _left_out(table), classes, leaf, report)
    _tell_ids(table, classes, report)
    return report


def _check_categories(
    table: CocoTable, classes: tuple[str, ...], split: str
) -> None:
    names, path = [str(name) for name in table.names.values()], table.path
    absent = [name for name in classes if name not in names]
    if absent:
        raise UserError(
            f'Class {absent[0]!r} is not among the categories of {path!r} '
            f'({", ".join(names)}); write the names as there'
            f'{nearest(absent[0], names) or "."}'
        )
    twice = [name for name in classes if names.count(name) > 1]
    if twice:
        raise UserError(
            f'Category {twice[0]!r} occurs more than once in {path!r}; merge '
            'them into one id.'
        )
    order = tuple(name for name in names if name in classes)
    if order != tuple(classes) and split == 'train':
        raise UserError(
            f'The classes are in a different order than in {path!r}, and the '
            f'labels would follow the file; write classes={order}.'
        )
    if order != tuple(classes):
        # the model has the training file's order, so no list fits both
        raise UserError(
            f'{path!r} lists its categories as {order}, and the labels would '
            'follow it; put the entries of its "categories" in the order of '
            f'the classes, {tuple(classes)}, and keep their ids.'
        )


def _check_some(table: CocoTable, split: str) -> None:
    """Raise unless there are images and annotations."""
    if not table.files:
        raise UserError(
            f'{table.path!r} has no images; give a file with at least one, or '
            'leave the loader that reads it out of the config.'
        )
    if table.category_ids:
        return
    fix = 'give a file with boxes of the classes'
    if split == 'train':
        fix += (
            "; every method also uses the student's own losses, which need "
            'them; a teacher can predict them (docs/user_guides/faq.md, "Can '
            'I train on images without labels?")'
        )
    raise UserError(
        f'{table.path!r} has {counted(len(table.files), "image")} and no '
        f'annotations; {fix}.'
    )


def _labels(table: CocoTable, classes: tuple[str, ...]) -> np.ndarray:
    """Return the class index of each box, or -1, (N,)."""
    path, used = table.path, table.category_ids
    found = find(used, table.names, 'category', path)
    names = [str(name) for name in table.names.values()]
    place = {name: label for label, name in enumerate(classes)}
    by_category = np.array([place.get(name, -1) for name in names] + [-1])
    labels = by_category[found]
    if (labels < 0).all():
        ids = sorted({*map(str, used)})
        raise UserError(
            f'No annotation of {path!r} has a category id of the classes '
            f'{tuple(classes)}; it uses ids {few(ids)}, the categories have '
            f'{few([*map(str, table.names)])}.'
        )
    # ignore regions often have their own category id
    lost = (found < 0) & ~table.crowd & ~table.left_out
    if lost.any():
        index = first(lost)
        raise UserError(
            f'{share(lost)} annotations of {path!r} have an unknown category '
            f'id and would be left out, the first {used[index]!r}: '
            f'{table.where(index)}; add the category, or remove them.'
        )
    return labels


def _left_out(table: CocoTable) -> dict[str, np.ndarray]:
    """Return which boxes MMDetection drops from a COCO json, by reason."""
    starts = table.boxes[:, :2]
    ends = np.minimum(starts + table.boxes[:, 2:], table.room())
    seen = ends - np.maximum(starts, 0)
    lost = table.owners < 0
    return {
        'are of an image that is not in the file': lost,
        'are thinner than a pixel': (table.boxes[:, 2:] < 1).any(axis=1),
        'lie outside the image': (seen <= 0).any(axis=1),
        'have an area of 0 or less': table.areas <= 0,
    }


def _tell_ids(
    table: CocoTable, classes: tuple[str, ...], report: DataReport
) -> None:
    """Warn where kd_det reads a file differently than MMDetection alone."""
    odd = [key for key in table.ids if not is_plain_id(key)]
    if odd and report.split != 'train':  # they only affect evaluation
        report.warnings.append(
            f'the annotation id {odd[0]!r} counts as no match or an error in '
            'pycocotools; kd_det renumbers the annotations from 1 when '
            'reading, while MMDetection alone would count a detected object '
            'as missed, or stop: number them from 1 in the file to get the '
            'same score there.'
        )
    order = [key for key, name in table.names.items() if str(name) in classes]
    if order != sorted(order) and report.split != 'train':
        report.warnings.append(
            f'the category ids are not in ascending order ({few(order)}), so '
            'the table that CocoMetric prints with classwise=True swaps the '
            "APs of classes; kd_det's own reports do not: number the "
            'categories in order to use that table.'
        )
    if any(not isinstance(name, str) for name in table.names.values()):
        report.warnings.append(
            'its category names are numbers; kd_det reads them as text, '
            'while MMDetection alone would find no class: write them as text.'
        )
