"""Do the data that a config names fit its classes?"""

import os.path as osp

from mmengine.config import Config
from mmengine.fileio import list_from_file

from kd_det.config_data import SPLITS, leaf_datasets
from kd_det.errors import UserError
from kd_det.preflight.classification_data import check_classification
from kd_det.preflight.data_report import DataReport, tell_shared
from kd_det.preflight.dataset_types import is_classification, type_of
from kd_det.preflight.detection_data import check_coco
from kd_det.preflight.read_data import check_read, reads_itself


def check_data(
    cfg: Config, splits: tuple[str, ...] = SPLITS
) -> list[DataReport]:
    """Check the data that a config names against its classes.

    COCO annotation files, and what :func:`check_classification` knows.

    Args:
        cfg: The run's config.
        splits: Which of ``train``, ``val``, ``test`` will be read.

    Returns:
        Of each annotation file, what it holds and what may be an error.

    Raises:
        FileNotFoundError: A file, a folder or an image is missing.
        UserError: A type of data set is unknown; an annotation file is no
            COCO json, its categories do not include the classes, stand in
            another order, or no object uses them; see also
            :func:`check_classification`.
    """
    seen, reports = set(), []
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        for leaf in leaf_datasets(loader['dataset']) if loader else ():
            kind = type_of(leaf)
            _check_class_file(leaf)
            if is_classification(kind):
                reports.append(check_classification(leaf, split))
            if reads_itself(kind):
                reports.append(check_read(leaf, class_names(leaf), split))
            if 'Coco' not in kind.__name__:
                continue
            folder, file = leaf.get('data_root'), leaf.get('ann_file')
            path = osp.join(folder or '', file or '')
            classes = class_names(leaf)
            key = (path, classes, split == 'train')
            if key not in seen:
                seen.add(key)
                labelled = split == 'train' or _is_scored(cfg, split)
                reports.append(
                    check_coco(leaf, path, classes, split, labelled)
                )
    reports = [report for report in reports if report]
    tell_shared(reports)
    return reports


def _is_scored(cfg: Config, split: str) -> bool:
    """Return whether anything compares predictions with the truth."""
    metrics = cfg.get(f'{split}_evaluator') or ()
    metrics = metrics if isinstance(metrics, (list, tuple)) else [metrics]
    return any(not metric.get('format_only') for metric in metrics)


def _check_class_file(leaf: dict) -> None:
    classes = (leaf.get('metainfo') or {}).get('classes')
    # MMEngine would read a file, and take any other text as the classes
    if isinstance(classes, str) and not osp.isfile(classes):
        raise UserError(
            f'metainfo has classes={classes!r}, which is no file; write '
            f'a tuple of names: classes=({classes!r},).'
        )


def class_names(leaf: dict) -> tuple[str, ...]:
    """Return the class names of a data set's config, or ().

    Args:
        leaf: Config of a data set, no wrapper.
    """
    classes = (leaf.get('metainfo') or {}).get('classes')
    if isinstance(classes, str):
        classes = list_from_file(classes)
    return tuple(classes or type_of(leaf).METAINFO.get('classes', ()))
