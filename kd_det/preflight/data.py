"""Do the data that a config names fit its classes?"""

import os.path as osp

from mmengine.config import Config

from kd_det.config_data import SPLITS
from kd_det.datasets.run_data import Leaf, RunData, Split
from kd_det.errors import UserError, few
from kd_det.preflight.classification_data import check_classification
from kd_det.preflight.data_report import DataReport, tell_shared
from kd_det.preflight.detection_data import check_coco
from kd_det.preflight.metrics import check_metrics
from kd_det.preflight.read_data import check_read, reads_itself


def check_data(
    cfg: Config | RunData, splits: tuple[str, ...] = SPLITS
) -> list[DataReport]:
    """Check the data that a config names against its classes.

    COCO annotation files, and what :func:`check_classification` knows.

    Args:
        cfg: The run's config, or its data.
        splits: Which of ``train``, ``val``, ``test`` will be read.

    Returns:
        Of each annotation file, what it holds and what may be an error.

    Raises:
        FileNotFoundError: A file, a folder or an image is missing.
        UserError: A type of data set is unknown; an annotation file is no
            COCO json, its categories do not include the classes, stand in
            another order, or no object uses them; data sets have other
            classes than the first, or metrics other annotations than the
            data set; see also :func:`check_classification`.
    """
    data = RunData.of(cfg)
    found = [s for s in (getattr(data, name) for name in splits) if s]
    seen, reports = set(), []
    for split in found:
        for leaf in split.leaves:
            _check_class_file(leaf)
            if leaf.is_classification:
                reports.append(check_classification(leaf.cfg, split.name))
            if reads_itself(leaf.kind):
                reports.append(check_read(leaf.cfg, leaf.classes, split.name))
            trained = split.name == 'train'
            key = leaf.file, leaf.classes
            if leaf.reads_as_coco and (*key, trained) not in seen:
                seen.add((*key, trained))
                labelled = trained or _is_scored(split)
                reports.append(
                    check_coco(leaf.cfg, *key, split.name, labelled)
                )
        if split.name != 'train':
            check_metrics(split)
    _check_classes(found)
    reports = [report for report in reports if report]
    tell_shared(reports)
    return reports


def _is_scored(split: Split) -> bool:
    """Return whether anything compares predictions with the truth."""
    return any(not metric.get('format_only') for metric in split.metrics)


def _check_class_file(leaf: Leaf) -> None:
    classes = (leaf.cfg.get('metainfo') or {}).get('classes')
    # MMEngine would read a file, and take any other text as the classes
    if isinstance(classes, str) and not osp.isfile(classes):
        raise UserError(
            f'metainfo has classes={classes!r}, which is no file; write '
            f'a tuple of names: classes=({classes!r},).'
        )


def _check_classes(splits: list[Split]) -> None:
    """Stop unless all detection data have one list of classes."""
    leaves = [
        (split.name, leaf)
        for split in splits
        for leaf in split.leaves
        if not leaf.is_classification and leaf.classes
    ]
    for name, leaf in leaves:
        first = leaves[0][1]
        if leaf.classes != first.classes:
            raise UserError(
                f'The {name} data set {leaf.source!r} has the classes '
                f'({few(leaf.classes)}), and {first.source!r} has '
                f'({few(first.classes)}): a label would be two things; write '
                'classes=(…) at the top of the config, and none in metainfo.'
            )
