"""Check that metrics use the annotations of the evaluated images."""

import json
import os.path as osp
from collections.abc import Sequence
from importlib.util import find_spec

from kd_det.config_data import leaf_datasets, parts_of
from kd_det.datasets.run_data import Leaf, Split
from kd_det.errors import UserError
from kd_det.files import sha256_of

SEVERAL = 'MultiDatasetsEvaluator'
FASTER = 'FasterCocoMetric'


def check_metrics(split: Split) -> None:
    """Raise if a COCO metric would score other images than the evaluated ones.

    Args:
        split: Validation or test data.

    Raises:
        UserError: A metric reads other annotations, or those of only one of
            several data sets; a data set has no metric; or a metric's package
            is not installed.
    """
    for metric in split.metrics:
        _check_package(split, str(metric.get('type')))
    if not all(leaf.is_coco for leaf in split.leaves):
        return
    evaluator = split.evaluator
    if str(getattr(evaluator, 'get', dict().get)('type')).endswith(SEVERAL):
        _check_each(split, evaluator)
        return
    for metric in split.metrics:
        path = metric.get('ann_file')
        if not path:
            _check_truth(split, metric)
        if len(split.leaves) > 1:
            _check_of_all(split, path)
        elif path:
            _check_same(split, path, split.leaves[0])


def _check_package(split: Split, kind: str) -> None:
    """Raise now, and not after the first epoch, if a package is missing."""
    if kind.endswith(FASTER) and find_spec('faster_coco_eval') is None:
        raise UserError(
            f'{split.name}_evaluator has type={kind!r}, which needs the '
            'package faster-coco-eval; run pip install '
            "'kd_det[evaluation]', or use CocoMetric."
        )


def _check_truth(split: Split, metric: dict) -> None:
    """Raise if a metric has neither a file nor boxes from the data set."""
    kind = str(metric.get('type'))
    keys = [
        key for step in split.pipeline for key in step.get('meta_keys', ())
    ]
    if kind.endswith('CocoMetric') and 'instances' not in keys:
        raise UserError(
            f'The {kind} of {split.name}_evaluator has no ann_file to compare '
            f'with; write ann_file={split.leaves[0].file!r}.'
        )


def _check_same(split: Split, path: str, leaf: Leaf) -> None:
    if _same(path, leaf.file):
        return
    raise UserError(
        f'A metric of the {split.name} data compares with {path!r}, but the '
        f'images are those of {leaf.file!r}; write ann_file={leaf.file!r} in '
        f'{split.name}_evaluator.'
    )


def _same(path: str, other: str) -> bool:
    """Return whether two paths name the same file, or identical ones."""
    if osp.realpath(path) == osp.realpath(other):
        return True
    both = osp.isfile(path) and osp.isfile(other)
    return both and sha256_of(path) == sha256_of(other)


def _check_of_all(split: Split, path: str | None) -> None:
    files = [leaf.file for leaf in split.leaves]
    advice = (
        f'; write {split.name}_evaluator=dict(type={SEVERAL!r}, metrics=[…], '
        'dataset_prefixes=[…]) with a metric for each data set.'
    )
    if path and any(_same(path, file) for file in files):
        raise UserError(
            f'A metric of the {split.name} data compares with {path!r} but '
            f'gets the images of {len(files)} data sets' + advice
        )
    if path:
        return  # of all data sets, merged
    ids: set = set()
    for file in files:
        own = {i['id'] for i in json.loads(open(file).read())['images']}
        if own & ids:
            raise UserError(
                f'The {split.name} data sets have image ids in common (such '
                f'as {min(own & ids)!r} in {file!r}), so a metric without '
                'ann_file would merge their boxes into one image' + advice
            )
        ids |= own


def _check_each(split: Split, evaluator: dict) -> None:
    parts = parts_of(split.loader['dataset'])
    names: Sequence = evaluator.get('dataset_prefixes') or ()
    counts = len(parts), len(split.metrics), len(names)
    if len({*counts}) > 1:
        raise UserError(
            f'{split.name}_evaluator is a {SEVERAL} with {counts[1]} metrics '
            f'and {counts[2]} dataset_prefixes for {counts[0]} data sets; '
            'one of each is needed for every data set, in their order.'
        )
    for part, metric in zip(parts, split.metrics):
        leaves = [*map(Leaf, leaf_datasets(part))]
        path = metric.get('ann_file')
        if path and len(leaves) == 1:
            _check_same(split, path, leaves[0])
