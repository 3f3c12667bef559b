"""Check that image folders or image lists match the classes."""

import os
import os.path as osp
from collections.abc import Iterator

from mmengine.fileio import list_dir_or_file, list_from_file

from kd_det.errors import UserError, counted, few, nearest
from kd_det.preflight.data_report import DataReport
from kd_det.preflight.image_files import check_readable, check_there
from kd_det.preflight.image_names import check_names

PAGES = {
    'ImageNet': 'https://image-net.org',
    'CUB': 'https://www.vision.caltech.edu/datasets/cub_200_2011/',
}
PICTURES = ('.jpg', '.jpeg', '.png', '.webp', '.gif', '.tif', '.tiff', '.bmp')


def check_list(dataset, split: str) -> DataReport:
    """Check a file that lists images and labels.

    Args:
        dataset: An MMPretrain data set, not loaded yet.
        split: Which loader reads it, for messages.

    Returns:
        A report of its contents, with warnings.

    Raises:
        FileNotFoundError: The file or an image is missing.
        UserError: There are no classes or no lines, a label is not of the
            classes, an image has two labels or cannot be read.
    """
    path = dataset.ann_file
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'There is no {split} annotation file {path!r}; set data_root '
            '(--cfg-options data_root=FOLDER) to a folder that holds it.'
        )
    if not dataset.CLASSES:
        raise UserError(
            f'The {split} data set of {path!r} has no class names; write '
            "classes=('name of label 0', 'name of label 1', …)."
        )
    lines = list_from_file(path)
    if not lines:
        raise UserError(
            f'Annotation file {path!r} is empty; a line "image label" is '
            'needed for each image.'
        )
    labels: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        name, _, label = line.strip().rpartition(' ')
        check_label(label, path, number, len(dataset.CLASSES))
        if labels.setdefault(name, label) != label:
            raise UserError(
                f'Line {number} of {path!r} gives the image {name!r} label '
                f'{label}, but an earlier line gives it {labels[name]}; '
                'remove one of the two.'
            )
    report = DataReport(split, path, {'images': len(lines)})
    if len(labels) < len(lines):
        report.warnings.append(
            f'{counted(len(lines) - len(labels), "line")} of an image that '
            'another line also has; remove them.'
        )
    _check_files(dataset, [*labels], path, report)
    used = {int(label) for label in labels.values()}
    absent = [n for i, n in enumerate(dataset.CLASSES) if i not in used]
    _tell_absent(absent, report)
    return report


def check_label(
    text: str, path: str, number: int, num_classes: int, first: int = 0
) -> None:
    """Raise if a line of a list does not end in a class label.

    Args:
        text: The end of the line.
        path: The list.
        number: Number of the line.
        num_classes: Number of classes.
        first: The first label.

    Raises:
        UserError: It is not a label.
    """
    last = first + num_classes - 1
    if not text.isdecimal() or not first <= int(text) <= last:
        raise UserError(
            f'Line {number} of {path!r} ends in {text!r}; the labels of '
            f'{num_classes} classes are {first} to {last}: correct the line, '
            'or the list of classes.'
        )


def _check_files(
    dataset, names: list[str], path: str, report: DataReport
) -> None:
    """Raise if an image is missing, or a checked one cannot be read."""
    folder = dataset.img_prefix
    if '://' in folder:
        return
    check_names(names, folder, dataset.data_root or '', path, report)
    fix = 'set data_prefix to the folder that its names start from.'
    check_there(folder, names, path, fix)
    report.images = {osp.join(folder, name) for name in names}
    report.facts['images looked at'] = check_readable(folder, names)


def _tell_absent(names: list[str], report: DataReport) -> None:
    if names:
        effect = (
            'the student cannot learn them'
            if report.split == 'train'
            else 'they are not evaluated'
        )
        report.warnings.append(
            f'{counted(len(names), "class has", "classes have")} no image '
            f'({few(names)}); {effect}.'
        )


def check_tree(dataset, split: str) -> DataReport:
    """Check a folder with one folder of images per class.

    Args:
        dataset: An MMPretrain data set, not loaded yet.
        split: Which loader reads it, for messages.

    Returns:
        A report of its contents, with warnings.

    Raises:
        FileNotFoundError: The folder is missing.
        UserError: Its folders differ from the classes, one has no image, or an
            image cannot be read.
    """
    root = dataset.img_prefix
    folders = _class_folders(dataset, split)
    images, others, empty = [], [], []
    for folder in folders:
        files = [*_files(root, folder)]
        valid = [file for file in files if dataset.is_valid_file(file)]
        images += valid
        empty += [folder] * (not valid)
        others += [f for f in files if f.lower().endswith(PICTURES)]
    others = [file for file in others if not dataset.is_valid_file(file)]
    accepted = ', '.join(sorted(dataset.extensions))
    # a class without validation images does no harm
    if empty and (split == 'train' or empty == folders):
        raise UserError(
            f'Class folder {osp.join(root, empty[0])!r} has no image; '
            f'accepted are {accepted}.'
        )
    report = DataReport(
        split, root, {'images': len(images), 'classes': len(folders)}
    )
    report.images = {osp.join(root, image) for image in images}
    report.facts['images looked at'] = check_readable(root, images)
    if others:
        report.warnings.append(
            f'{counted(len(others), "image is", "images are")} left out, the '
            f'first {others[0]!r}, since only {accepted} are read; add the '
            "extension to the data set's extensions=(…)."
        )
    _tell_absent(empty, report)
    return report


def _class_folders(dataset, split: str) -> list[str]:
    """Return the names of the folders, one for each class."""
    root, name = dataset.img_prefix, type(dataset).__name__
    if not osp.isdir(root):
        get = f' (get it from {PAGES[name]})' if name in PAGES else ''
        raise FileNotFoundError(
            f'There is no {split} folder {root!r}{get}; set data_root '
            '(--cfg-options data_root=FOLDER) to the folder that contains '
            'it.'
        )
    folders = sorted(list_dir_or_file(root, list_file=False))
    if not folders:
        raise UserError(
            f'The {split} folder {root!r} contains no folders; one folder of '
            'images per class is needed.'
        )
    classes = tuple(dataset.CLASSES or ())
    if classes != dataset.METAINFO.get('classes'):
        _check_names(root, folders, classes, split)
    elif len(folders) != len(classes):  # ImageNet: not its folders
        raise UserError(
            f'The {split} folder {root!r} contains {len(folders)} folders '
            f'({few(folders)}) but {name} has {len(classes)} classes; '
            'complete it, or write the names of its folders as classes=(…).'
        )
    return folders


def _files(root: str, folder: str) -> Iterator[str]:
    """Yield file paths in a folder, relative to the root, as in MMEngine."""
    for place, _, files in os.walk(osp.join(root, folder), followlinks=True):
        below = osp.relpath(place, root)
        for file in files:
            if not file.startswith('.'):
                yield f'{below}/{file}'


def _check_names(
    root: str, folders: list[str], classes: tuple[str, ...], split: str
) -> None:
    if not classes:
        raise UserError(
            f'The {split} data set of {root!r} has no class names; write the '
            f'names of its folders: classes={tuple(folders)}.'
        )
    absent = [name for name in classes if name not in folders]
    if absent:
        raise UserError(
            f'Class {absent[0]!r} has no folder in {root!r} '
            f'({few(folders)}); write the names as there'
            f'{nearest(absent[0], folders) or "."}'
        )
    extra = [name for name in folders if name not in classes]
    if extra:
        raise UserError(
            f'Folder {extra[0]!r} of {root!r} is not one of the classes '
            f'({few(classes)}); add it to them, or give a folder that '
            'contains only those of the classes, or links to them.'
        )
    if list(classes) != folders:
        raise UserError(
            'The classes are in a different order than the folders of '
            f'{root!r}, and the labels would follow the folders; write '
            f'classes={tuple(folders)}.'
        )
