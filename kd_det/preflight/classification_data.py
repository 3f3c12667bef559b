"""Check a classification data set for errors."""

import inspect
import os.path as osp

from mmengine.fileio import list_from_file

from kd_det.datasets.cifar_files import read_class_names, split_files
from kd_det.datasets.types import make, type_of
from kd_det.errors import UserError, few, nearest
from kd_det.preflight.data_report import DataReport
from kd_det.preflight.image_folders import (
    PAGES,
    check_label,
    check_list,
    check_tree,
)


def check_classification(leaf: dict, split: str) -> DataReport | None:
    """Check the folder and files of an MMPretrain data set.

    Supports CIFAR, CUB-200, and folder trees with or without an image list
    (ImageNet); other data sets are only kept from downloading.

    Args:
        leaf: The data set's config.
        split: Which loader reads it, for messages.

    Returns:
        A report of its contents, or None if they are not counted.

    Raises:
        FileNotFoundError: A folder or a file is missing.
        UserError: The data set would download; its classes differ from its
            folders or files, a class has no image, or a label is not of the
            classes.
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
        if dataset.with_label:
            check = check_list if dataset.ann_file else check_tree
            return check(dataset, split)
    return None


def _check_offline(leaf: dict, kind: type) -> None:
    offers = inspect.signature(kind).parameters.get('download')
    if offers is None or hasattr(kind, 'layout'):  # ours do not download
        return
    if leaf.get('download', offers.default):
        ours = {'CIFAR10', 'CIFAR100'} & {kind.__name__}
        fix = (
            f"write type='kd_det.{kind.__name__}'"
            if ours
            else 'put its files in place and write download=False'
        )
        raise UserError(
            f'Data set {kind.__name__} would download missing files; {fix}.'
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
            f'The {len(classes)} classes differ in number or order from the '
            f'{len(names)} of {layout.name} in {root!r} ({few(names)}); '
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
        check_label(label, path, number, len(dataset.CLASSES), first=1)
