"""Provenance of computed files: images, labels, packages."""

import os.path as osp
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath

import numpy as np

from kd_det.config_data import leaf_datasets
from kd_det.files import sha256_of
from kd_det.preflight.dataset_types import is_classification, make, type_of

PACKAGES = (
    'torch',
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmdetection',
    'onedl-mmpretrain',
)


def training_files(cfg: dict) -> list[str]:
    """Return the sources of the training labels, for messages.

    These are the annotation files of the data sets, or their folders.
    """
    return [_file(leaf) for leaf in _leaves(cfg)]


def training_sha256(cfg: dict) -> str:
    """Return a SHA-256 that identifies the training set.

    For detection it is that of the annotation file. For classification it is
    computed from the samples in order: the name below the image folder, or the
    pixels if there are no files, and the label; it does not depend on the
    location, or on whether images are listed in a file or a folder tree. For
    several data sets it is computed from their SHA-256 sums.
    """
    digests = [
        _digest_of_samples(leaf)
        if is_classification(type_of(leaf))
        else sha256_of(_file(leaf))
        for leaf in _leaves(cfg)
    ]
    if len(digests) == 1:
        return digests[0]
    return sha256(''.join(digests).encode()).hexdigest()


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that affect results."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # installed under another name
            continue
    return found


def _leaves(cfg: dict) -> Iterator[dict]:
    return leaf_datasets(cfg['train_dataloader']['dataset'])


def _file(leaf: dict) -> str:
    if not is_classification(type_of(leaf)):
        return osp.join(leaf.get('data_root') or '', leaf['ann_file'])
    dataset = make(leaf, lazy=True)
    # a folder tree has no file; CIFAR has a prefix with another name
    folder = next(iter(dataset.data_prefix.values()))
    return osp.normpath(dataset.ann_file or folder)


def _digest_of_samples(leaf: dict) -> str:
    dataset = make(leaf, lazy=False)
    digest = sha256()
    for index in range(len(dataset)):
        sample = dataset.get_data_info(index)
        if 'img_path' in sample:
            path = osp.relpath(sample['img_path'], dataset.img_prefix)
            image = PurePath(path).as_posix().encode()
        else:
            image = np.ascontiguousarray(sample['img']).tobytes()
        label = str(sample['gt_label']).encode()
        digest.update(b'%d %b %b\n' % (len(image), image, label))
    return digest.hexdigest()
