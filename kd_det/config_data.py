"""Bring a config's folder and classes to its data sets, metrics and heads."""

import os.path as osp
from collections.abc import Collection, Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.fileio import list_from_file

from kd_det.config_file import ConfigFile
from kd_det.errors import UserError, few

SPLITS = ('train', 'val', 'test')


def parts_of(dataset: dict) -> list[dict]:
    """Return the data sets that a wrapper is made of; none of another."""
    inner = dataset.get('dataset') or dataset.get('datasets') or ()
    inner = inner if isinstance(inner, (list, tuple)) else [inner]
    return [part for part in inner if isinstance(part, dict)]


def leaf_datasets(dataset: dict) -> Iterator[dict]:
    """Yield the data sets inside wrappers such as RepeatDataset."""
    parts = parts_of(dataset)
    if not parts:
        yield dataset
    for part in parts:
        yield from leaf_datasets(part)


def leaves_of(cfg: Config, split: str) -> list[dict]:
    """Return the data sets of a split, wrappers opened; none without it."""
    loader = cfg.get(f'{split}_dataloader')
    return [*leaf_datasets(loader['dataset'])] if loader else []


def metrics_in(evaluator: dict | list[dict] | None) -> list[dict]:
    """Return the configs of the metrics in that of an evaluator."""
    if isinstance(evaluator, dict):  # a metric, or what holds several
        evaluator = evaluator.get('metrics', [evaluator])
    if isinstance(evaluator, dict):
        evaluator = [evaluator]
    return [metric for metric in evaluator or () if isinstance(metric, dict)]


def file_of(leaf: dict) -> str:
    """Return the path of a data set's annotation file, or ''."""
    name = leaf.get('ann_file')
    return osp.join(leaf.get('data_root') or '', name) if name else ''


def carry_folder(
    cfg: Config,
    before: Config,
    options: Collection[str],
    file: ConfigFile | None,
) -> None:
    """Write ``data_root`` into the data sets that have none of their own.

    Where it was set anew, it also replaces the one of before, and the folder
    that all data sets had in common then.

    Args:
        cfg: The config, with the options.
        before: Without them.
        options: Their keys.
        file: What it was read from, if it was.

    Raises:
        UserError: It was set by the user, and no data set takes it.
    """
    root = cfg.get('data_root')
    given = 'data_root' in options
    writer = file and file.writer('data_root')
    leaves = [(s, leaf) for s in SPLITS for leaf in leaves_of(cfg, s)]
    if not root or (file and file.files and not (given or writer)):
        return
    others = [(s, leaf) for s, leaf in leaves if leaf.get('data_root') != root]
    if not others:
        return
    replaced, written = {None, f'{root}/'}, set()
    if given:
        replaced |= _folders_before(before)
    elif writer:
        replaced |= _folders_before(file.before('data_root'))
        written = file.folders_since('data_root')
    for split, leaf in others:
        folder = leaf.get('data_root')
        if folder not in replaced or _is_given(split, options):
            continue
        if folder is None and _is_in(leaf, root):
            continue  # its file is written with the folder
        if folder in written:
            raise UserError(
                f'data_root={root!r} stands beside a data set with '
                f'data_root={folder!r}, which was the folder of others too; '
                'write the data_root of each data set.'
            )
        leaf['data_root'] = root
    used = written or writer and 'data_root' in writer.reads
    if not any(_is_in(leaf, root) for _, leaf in leaves) and (
        given or writer and not used
    ):
        found = sorted({str(leaf.get('data_root')) for _, leaf in leaves})
        raise UserError(
            f'data_root={root!r} changes nothing, since the data sets name '
            f'folders of their own ({few(found)}); write it there, as '
            'train_dataloader.dataset.data_root and so on.'
        )


def _is_given(split: str, options: Collection[str]) -> bool:
    """Return whether options name the folder of a split's data."""
    return any(
        key.startswith(f'{split}_dataloader.') and key.endswith('.data_root')
        for key in options
    )


def _folders_before(cfg: Config) -> set[str | None]:
    """Return the folders that a new ``data_root`` stands for."""
    folders = {
        leaf.get('data_root')
        for split in SPLITS
        for leaf in leaves_of(cfg, split)
    }
    return {cfg.get('data_root')} | (folders if len(folders) == 1 else set())


def _is_in(leaf: dict, root: str) -> bool:
    paths = leaf.get('data_root'), file_of(leaf)
    return any(
        Path(path).absolute().is_relative_to(Path(root).absolute())
        for path in paths
        if path
    )


def follow(cfg: Config, before: Config) -> None:
    """Let metrics read the annotations that their data set was moved to.

    Args:
        cfg: A config.
        before: What it was. A metric that had the file of a data set, and
            has it still, gets the one that the data set has now.
    """
    for split in SPLITS:
        old, new = (
            [osp.normpath(file_of(leaf)) for leaf in leaves_of(c, split)]
            for c in (before, cfg)
        )
        moved = dict(zip(old, new)) if len(old) == len(new) else {}
        for metric, former in zip(
            metrics_in(cfg.get(f'{split}_evaluator')),
            metrics_in(before.get(f'{split}_evaluator')),
        ):
            path = metric.get('ann_file')
            if not path or path != former.get('ann_file'):
                continue
            target = moved.get(osp.normpath(path))
            if target and target != osp.normpath(path):
                metric['ann_file'] = target


def has_strays(cfg: Config) -> bool:
    """Return whether a metric reads a file that no data set of its has."""
    return any(
        metric.get('ann_file')
        and osp.normpath(metric['ann_file'])
        not in [osp.normpath(file_of(leaf)) for leaf in leaves_of(cfg, split)]
        for split in SPLITS
        for metric in metrics_in(cfg.get(f'{split}_evaluator'))
    )


def carry_classes(
    cfg: Config,
    before: Config,
    options: Collection[str],
    file: ConfigFile | None,
) -> tuple[str, ...]:
    """Write ``classes`` into the ``metainfo`` of every data set.

    Where they were set anew, they also replace the ones that all data sets
    had in common before.

    Args:
        cfg: The config, with the options.
        before: Without them.
        options: Their keys.
        file: What it was read from, if it was.

    Returns:
        The classes; none where the config has no such key.

    Raises:
        UserError: A data set has other classes of its own.
    """
    classes = cfg.get('classes')
    classes = (classes,) if isinstance(classes, str) else tuple(classes or ())
    leaves = [(s, leaf) for s in SPLITS for leaf in leaves_of(cfg, s)]
    if not classes:
        return ()
    others = {_own_classes(leaf) for _, leaf in leaves} - {(), classes}
    replaced = set()
    if others and ('classes' in options or file and file.writer('classes')):
        if 'classes' not in options:
            before = file.before('classes')
        replaced = {
            _own_classes(leaf)
            for split in SPLITS
            for leaf in leaves_of(before, split)
        }
    for split, leaf in leaves:
        own = _own_classes(leaf)
        if own in others and replaced != {own}:
            raise UserError(
                f'The {split} data set has classes of its own ({few(own)}) '
                f'and the config has classes=({few(classes)}); leave one of '
                'the two lists out.'
            )
        leaf['metainfo'] = dict(leaf.get('metainfo') or {}, classes=classes)
    return classes


def _own_classes(leaf: dict) -> tuple[str, ...]:
    """Return the classes in ``metainfo``, which may name a file of them."""
    classes = (leaf.get('metainfo') or {}).get('classes')
    if isinstance(classes, str):
        classes = list_from_file(classes) if osp.isfile(classes) else [classes]
    return tuple(map(str, classes or ()))
