"""What can be known to be wrong with a classification data set."""

import inspect
import os.path as osp

from mmengine.fileio import list_dir_or_file, list_from_file

from kd_det.datasets.cifar_files import read_class_names, split_files
from kd_det.errors import UserError, few, nearest
from kd_det.preflight.dataset_types import make, type_of

PAGES = {
    'ImageNet': 'https://image-net.org',
    'CUB': 'https://www.vision.caltech.edu/datasets/cub_200_2011/',
}


def check_classification(leaf: dict, split: str) -> None:
    """Check the folder and the files of a data set of MMPretrain.

    CIFAR, CUB-200, and folder trees with or without a list of the images
    (ImageNet); others are only kept from downloading.

    Args:
        leaf: The config of the data set.
        split: Which loader reads it, for messages.

    Raises:
        FileNotFoundError: A folder or a file is missing.
        UserError: The data set would download; its classes are not those of
            its folders or files, a class has no image, or a label none of
            the classes.
    """
    kind = type_of(leaf)
    _check_offline(leaf, kind)
    families = {base.__name__ for base in kind.mro()}
    if hasattr(kind, 'layout'):
        _check_cifar(make(leaf, lazy=True))
    elif 'CUB' in families:
        _check_cub(make(leaf, lazy=True))
    elif 'CustomDataset' in families:
        dataset = make(leaf, lazy=True)
        if not dataset.with_label:
            return
        if dataset.ann_file:
            _check_list(dataset, split)
        else:
            _check_tree(dataset, split)


def _check_offline(leaf: dict, kind: type) -> None:
    offers = inspect.signature(kind).parameters.get('download')
    if offers is None or hasattr(kind, 'layout'):  # ours do not
        return
    if leaf.get('download', offers.default):
        ours = {'CIFAR10', 'CIFAR100'} & {kind.__name__}
        fix = (
            f"write type='kd_det.{kind.__name__}'"
            if ours
            else 'put its files in place and write download=False'
        )
        raise UserError(
            f'Data set {kind.__name__} would download what is missing; {fix}.'
        )


def _check_cifar(dataset) -> None:
    layout, root = dataset.layout, dataset.data_prefix['root']
    split_files(root, layout, dataset.split)
    names = read_class_names(root, layout) or dataset.METAINFO['classes']
    classes = tuple(dataset.CLASSES)
    absent = [name for name in classes if name not in names]
    if absent:
        raise UserError(
            f'Class {absent[0]!r} is not among the {len(names)} of '
            f'{layout.name} in {root!r} ({few(names)}); leave classes out of '
            f'the config{nearest(absent[0], names) or "."}'
        )
    if classes != names:
        raise UserError(
            f'The classes are {len(classes)}, or stand in another order than '
            f'the {len(names)} of {layout.name} in {root!r} ({few(names)}); '
            'leave classes out of the config.'
        )


def _check_cub(dataset) -> None:
    files = (
        dataset.ann_file,
        dataset.image_class_labels_file,
        dataset.train_test_split_file,
    )
    for path in (*files, dataset.img_prefix):
        if not osp.exists(path):
            raise FileNotFoundError(
                f'There is no {path!r} of CUB-200-2011; unpack the archive '
                f'of {PAGES["CUB"]} in data, or set data_root to its folder '
                'CUB_200_2011.'
            )
    path = dataset.image_class_labels_file
    for number, line in enumerate(list_from_file(path), start=1):
        label = line.rpartition(' ')[2]
        _check_label(label, path, number, len(dataset.CLASSES), first=1)


def _check_list(dataset, split: str) -> None:
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
            f'Annotation file {path!r} is empty; a line "image label" for '
            'each image is needed.'
        )
    for number, line in enumerate(lines, start=1):
        label = line.strip().rpartition(' ')[2]
        _check_label(label, path, number, len(dataset.CLASSES))
    image = osp.join(dataset.img_prefix, lines[0].strip().rpartition(' ')[0])
    if not osp.isfile(image):
        raise FileNotFoundError(
            f'There is no image {image!r}, the first of {path!r}; set '
            'data_prefix to the folder that its names start from.'
        )


def _check_label(
    text: str, path: str, number: int, num_classes: int, first: int = 0
) -> None:
    last = first + num_classes - 1
    if not text.isdecimal() or not first <= int(text) <= last:
        raise UserError(
            f'Line {number} of {path!r} ends in {text!r}; the labels of '
            f'{num_classes} classes are {first} to {last}: mend the line, or '
            'the list of classes.'
        )


def _check_tree(dataset, split: str) -> None:
    root, name = dataset.img_prefix, type(dataset).__name__
    if not osp.isdir(root):
        get = f' (get it from {PAGES[name]})' if name in PAGES else ''
        raise FileNotFoundError(
            f'There is no {split} folder {root!r}{get}; set data_root '
            '(--cfg-options data_root=FOLDER) to the folder that holds it.'
        )
    folders = sorted(list_dir_or_file(root, list_file=False))
    if not folders:
        raise UserError(
            f'The {split} folder {root!r} has no folder in it; one folder of '
            'images per class is needed.'
        )
    classes = tuple(dataset.CLASSES or ())
    if classes != dataset.METAINFO.get('classes'):
        _check_names(root, folders, classes, split)
    elif len(folders) != len(classes):  # ImageNet's are not its folders
        raise UserError(
            f'The {split} folder {root!r} holds {len(folders)} folders '
            f'({few(folders)}) but {name} has {len(classes)} classes; '
            'complete it, or write the names of its folders as classes=(…).'
        )
    empty = [
        folder
        for folder in folders
        if not _has_image(osp.join(root, folder), dataset)
    ]
    # a class that is never validated does no harm
    if empty and (split == 'train' or empty == folders):
        raise UserError(
            f'Class folder {osp.join(root, empty[0])!r} holds no image; '
            f'accepted are {", ".join(sorted(dataset.extensions))}.'
        )


def _has_image(folder: str, dataset) -> bool:
    files = list_dir_or_file(folder, list_dir=False, recursive=True)
    return any(dataset.is_valid_file(file) for file in files)


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
            f'Folder {extra[0]!r} of {root!r} is none of the classes '
            f'({few(classes)}); add it to them, or give a folder with those '
            'of the classes, or links to them, alone.'
        )
    if list(classes) != folders:
        raise UserError(
            f'The classes stand in another order than the folders of '
            f'{root!r}, and the labels would follow the folders; write '
            f'classes={tuple(folders)}.'
        )
