"""Count the used boxes and images of a data set."""

import numpy as np

from kd_det.errors import UserError, counted, few
from kd_det.preflight.box_table import BoxTable
from kd_det.preflight.boxes import (
    SLACK,
    check_boxes,
    first,
    overhang,
    share,
)
from kd_det.preflight.data_report import DataReport

# weights that give different rows of numbers different sums
MIX = np.sqrt([2, 3, 5, 7, 11, 13])
MANY = 30  # objects, which would be spread over the whole image
REACH = 0.7  # of the width and height
MOST = 0.5  # share of images without a box, or of boxes, above which to warn


def check_used(
    table: BoxTable,
    labels: np.ndarray,
    left_out: dict[str, np.ndarray],
    classes: tuple[str, ...],
    leaf: dict,
    report: DataReport,
) -> None:
    """Count used boxes and images; raise if there are none or if implausible.

    Args:
        table: The boxes.
        labels: Class index of each box, or -1, (N,).
        left_out: Reason -> mask of the boxes that MMDetection does not use,
            (N,).
        classes: Names of the classes.
        leaf: The data set's config.
        report: Receives the counts and warnings.

    Raises:
        UserError: Boxes have a different format than expected, none is usable,
            a needed mask is missing, or no image passes ``filter_cfg``.
    """
    ours = (labels >= 0) & ~table.left_out
    check_boxes(table, ours & (table.owners >= 0))
    used = ours.copy()
    for reason, mask in left_out.items():
        lost = used & mask
        used &= ~mask
        if lost.any():
            report.warnings.append(
                f'{lost.sum():,} of the {ours.sum():,} boxes {reason} and '
                f'are left out, the first {table.where(first(lost))}; '
                'correct them, or take them out.'
            )
    objects = used & ~table.crowd
    _check_some(table, ours, used, objects)
    _check_masks(table, objects, leaf)
    if objects.sum() < (1 - MOST) * used.sum():
        report.warnings.append(
            f'{(used & table.crowd).sum():,} of the {used.sum():,} boxes are '
            'marked as crowds (iscrowd, difficult), which are neither '
            'object nor background; remove the mark from single objects.'
        )
    beyond = used & (overhang(table.boxes, table.room()) > SLACK)
    if beyond.any():
        report.warnings.append(
            f'{beyond.sum():,} of the {used.sum():,} boxes extend beyond '
            'their image by more than a pixel, the first '
            f'{table.where(first(beyond))}; they are clipped to it.'
        )
    _tell_doubles(table, labels, objects, report)
    _tell_corner(table, objects, report)
    full = np.bincount(table.owners[objects], minlength=len(table.files)) > 0
    report.facts |= {
        'images': len(table.files),
        'images without an object': int((~full).sum()),
        'boxes': len(table.boxes),
        'objects used': int(objects.sum()),
        'crowds': int((used & table.crowd).sum()),
        'left out': int((ours & ~used).sum()),
        'of other classes': int((labels < 0).sum()),
        'over the border': int(beyond.sum()),
    }
    _tell_images(table, full, report)
    _tell_classes(labels[objects], classes, report)
    if not leaf.get('test_mode'):
        any_box = np.bincount(
            table.owners[(labels >= 0) & (table.owners >= 0)],
            minlength=len(table.files),
        )
        _check_filter(table, any_box > 0, leaf, report)


def _check_some(
    table: BoxTable, ours: np.ndarray, used: np.ndarray, objects: np.ndarray
) -> None:
    if objects.any():
        return
    if not ours.any():
        raise UserError(
            f'All boxes of the classes in {table.path!r} have ignore=1 and '
            'are left out; remove it.'
        )
    if used.any():
        raise UserError(
            f'All {used.sum()} usable boxes of {table.path!r} are marked as '
            'crowds (iscrowd, difficult), which are neither object nor '
            'background, the first '
            f'{table.where(first(used))}; remove the mark from single objects.'
        )
    raise UserError(
        f'There is no usable box in {table.path!r} ({ours.sum()} of the '
        f'classes): the first is {table.where(first(ours))}; {table.wanted}, '
        'at least one of them in the image, and an area above 0.'
    )


def _check_masks(table: BoxTable, objects: np.ndarray, leaf: dict) -> None:
    reads = any(step.get('with_mask') for step in leaf.get('pipeline') or ())
    bare = objects & ~table.masked
    if reads and bare.any():
        raise UserError(
            f'{bare.sum():,} of the {objects.sum():,} objects of '
            f'{table.path!r} have no segmentation, which the pipeline reads '
            f'(with_mask=True), the first {table.where(first(bare))}; add '
            'it, or use a detector without masks and leave with_mask out.'
        )


def _tell_doubles(
    table: BoxTable,
    labels: np.ndarray,
    objects: np.ndarray,
    report: DataReport,
) -> None:
    places = np.flatnonzero(objects)
    rows = np.column_stack([table.owners, labels, table.boxes])[places]
    # equal rows have equal sums, so they are adjacent when sorted
    order = np.argsort(sum(rows.T * MIX[:, None]), kind='stable')
    again = (rows[order][1:] == rows[order][:-1]).all(axis=1)
    if again.any():
        report.warnings.append(
            f'{counted(int(again.sum()), "box", "boxes")} with the same '
            'class and place as another, the first '
            f'{table.where(places[order[1:][again].min()])}; remove one of '
            'the two.'
        )


def _tell_corner(
    table: BoxTable, objects: np.ndarray, report: DataReport
) -> None:
    """Warn if no box reaches the right or lower part of its image."""
    ends = table.boxes[objects, :2] + table.boxes[objects, 2:]
    reach = (ends / table.room()[objects]).max(axis=0)
    if objects.sum() >= MANY and (reach < REACH).all():
        report.warnings.append(
            f'all {objects.sum():,} objects are in the left {reach[0]:.0%} '
            f'and upper {reach[1]:.0%} of their images; if they were drawn on '
            'smaller copies of the images, scale them.'
        )


def _tell_images(
    table: BoxTable, full: np.ndarray, report: DataReport
) -> None:
    if (~full).mean() > MOST:
        report.warnings.append(
            f'{share(~full)} images have no object, the first '
            f'{table.files[first(~full)]!r}; if they show some, the '
            'annotations of these images are missing.'
        )
    if len({*table.files}) < len(table.files):
        seen: set = set()
        twice = [f for f in table.files if f in seen or seen.add(f)]
        report.warnings.append(
            f'{counted(len(twice), "image file is", "image files are")} '
            f'listed more than once, the first {twice[0]!r}; the objects of '
            'one entry are background in the other: merge them.'
        )


def _tell_classes(
    labels: np.ndarray, classes: tuple[str, ...], report: DataReport
) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    absent = [name for name, count in zip(classes, counts) if not count]
    if absent:
        effect = (
            'the student cannot learn them'
            if report.split == 'train'
            else 'the mean over the classes leaves them out'
        )
        report.warnings.append(
            f'{counted(len(absent), "class has", "classes have")} no object '
            f'({few(absent)}); {effect}.'
        )


def _check_filter(
    table: BoxTable, full: np.ndarray, leaf: dict, report: DataReport
) -> None:
    """Count the images that a data set keeps for training."""
    rules = leaf.get('filter_cfg') or {}
    least = rules.get('min_size', 0)
    small = table.sizes.min(axis=1) < least
    kept = ~small & (full | (not rules.get('filter_empty_gt', False)))
    report.facts['images used'] = int(kept.sum())
    if not kept.any():
        raise UserError(
            f'None of the {len(kept)} images of {table.path!r} passes '
            f'filter_cfg={dict(rules)}, {small.sum()} are smaller than '
            f'{least} pixels; lower min_size, or take filter_cfg out.'
        )
    if small.any():
        report.warnings.append(
            f'{share(small)} images are smaller than filter_cfg.min_size='
            f'{least} and are left out, the first '
            f'{table.files[first(small)]!r}; lower min_size to use them.'
        )
