"""Check that a config's data match its classes."""

import os.path as osp
from collections import Counter

from mmengine.config import Config

from kd_det.config_data import SPLITS
from kd_det.datasets.run_data import Leaf, RunData, Split
from kd_det.errors import UserError, few
from kd_det.preflight.classification_data import check_classification
from kd_det.preflight.data_report import DataReport, tell_shared
from kd_det.preflight.detection_data import check_coco
from kd_det.preflight.metrics import check_metrics
from kd_det.preflight.read_data import check_read, reads_itself, unchecked


def check_data(
    cfg: Config | RunData, splits: tuple[str, ...] = SPLITS
) -> list[DataReport]:
    """Check the data that a config names against its classes.

    Covers COCO annotation files, and the data sets of
    :func:`check_classification`.

    Args:
        cfg: The run's config, or its data.
        splits: The splits to check, of ``train``, ``val`` and ``test``.

    Returns:
        A report for each annotation file, with its contents and warnings.

    Raises:
        FileNotFoundError: A file, a folder or an image is missing.
        UserError: A data set type is unknown; an annotation file is not a COCO
            json, its categories lack a class, are in a different order, or
            have no object; data sets differ in their classes, or metrics use
            different annotations than the data set; see also
            :func:`check_classification`.
    """
    data = RunData.of(cfg)
    found = [s for s in (getattr(data, name) for name in splits) if s]
    seen, reports = set(), []
    for split in found:
        for leaf in split.leaves:
            _check_class_file(leaf)
            if leaf.is_classification:
                reports.append(check_classification(leaf.cfg, split.name))
            elif reads_itself(leaf.kind):
                reports.append(check_read(leaf.cfg, leaf.classes, split.name))
            elif not leaf.reads_as_coco:
                reports.append(unchecked(leaf.kind, leaf.file, split.name))
            trained = split.name == 'train'
            key = leaf.file, leaf.classes
            place = (*key, _images(leaf), trained)
            if leaf.reads_as_coco and place not in seen:
                seen.add(place)
                labelled = trained or _is_scored(split)
                reports.append(
                    check_coco(leaf.cfg, *key, split.name, labelled)
                )
        if split.name != 'train':
            check_metrics(split)
    _check_classes(found)
    reports = [report for report in reports if report]
    for split in found:
        _tell_repeated(split, reports)
    tell_shared(reports)
    return reports


def _is_scored(split: Split) -> bool:
    """Return whether predictions are compared with the ground truth."""
    return any(not metric.get('format_only') for metric in split.metrics)


def _images(leaf: Leaf) -> str:
    """Return what says where its images are, and which it takes."""
    keys = ('data_root', 'data_prefix', 'indices')
    return str([leaf.cfg.get(key) for key in keys])


def _tell_repeated(split: Split, reports: list[DataReport]) -> None:
    """Warn of a data set that a split has more than once."""
    places = Counter((leaf.file, _images(leaf)) for leaf in split.leaves)
    for (file, _), count in places.items():
        for report in reports:
            if count > 1 and (report.split, report.source) == (
                split.name,
                file,
            ):
                report.warnings.append(
                    f'{count} of the data sets are this one, so that its '
                    f'images count {count} times; name another folder or '
                    'file, or use RepeatDataset if that is meant.'
                )


def _check_class_file(leaf: Leaf) -> None:
    classes = (leaf.cfg.get('metainfo') or {}).get('classes')
    # MMEngine reads it if it is a file, otherwise uses the text as classes
    if isinstance(classes, str) and not osp.isfile(classes):
        raise UserError(
            f'metainfo has classes={classes!r}, which is not a file; write a '
            f'tuple of names: classes=({classes!r},).'
        )


def _check_classes(splits: list[Split]) -> None:
    """Raise unless all detection data sets have the same classes."""
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
                f'({few(leaf.classes)}), but {first.source!r} has '
                f'({few(first.classes)}), so labels would be ambiguous; '
                'write classes=(…) at the top of the config, and none in '
                'metainfo.'
            )
