"""The data sets of a run, looked up in its config once and passed down."""

import copy
import os.path as osp
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import PurePath

import numpy as np
from mmengine.config import Config
from mmengine.fileio import list_from_file
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from kd_det.config_data import (
    SPLITS,
    file_of,
    leaf_datasets,
    metrics_in,
    parts_of,
)
from kd_det.datasets.chosen import distinct
from kd_det.datasets.types import (
    is_classification,
    is_coco,
    keeps_all,
    make,
    reads_as_coco,
    type_of,
    without_views,
)
from kd_det.errors import UserError
from kd_det.files import sha256_of


@dataclass(frozen=True)
class Leaf:
    """A data set that is no wrapper.

    Args:
        cfg: Its config.
    """

    cfg: dict

    @cached_property
    def kind(self) -> type:
        """Its class."""
        return type_of(self.cfg)

    @cached_property
    def is_classification(self) -> bool:
        """Whether its class is, or extends, one of MMPretrain."""
        return is_classification(self.kind)

    @cached_property
    def is_coco(self) -> bool:
        """Whether its class is, or extends, MMDetection's of COCO."""
        return is_coco(self.kind)

    @cached_property
    def reads_as_coco(self) -> bool:
        """Whether it reads its file as MMDetection's of COCO does."""
        return reads_as_coco(self.kind)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Its class names, or () where only its folders say them."""
        classes = (self.cfg.get('metainfo') or {}).get('classes')
        if isinstance(classes, str):
            classes = list_from_file(classes)
        return tuple(classes or self.kind.METAINFO.get('classes', ()))

    @cached_property
    def file(self) -> str:
        """The path of its annotation file, or ''."""
        return file_of(self.cfg)

    @cached_property
    def source(self) -> str:
        """Where its labels come from: a file, or the folder in its place."""
        if self.file and not self.is_classification:
            return self.file
        dataset = make(self.cfg, lazy=True)
        # a folder tree has no file; CIFAR has one prefix, of another name
        folder = next(iter(dataset.data_prefix.values()), '')
        return osp.normpath(dataset.ann_file or folder)

    @cached_property
    def sha256(self) -> str:
        """The digest of what it holds.

        Of a detection set that of the annotation file. Of others that of the
        samples in order: the name below the image folder, or the pixels
        where they are no files, and the label; the same images in another
        place, or listed in a file instead of a folder tree, count as the
        same.
        """
        if self.file and not self.is_classification:
            return sha256_of(self.file)
        dataset = make(self.cfg, lazy=False)
        folder = next(iter(dataset.data_prefix.values()), '')
        samples = map(dataset.get_data_info, range(len(dataset)))
        return _digest(samples, folder)


@dataclass(frozen=True)
class Split:
    """The data of one loader.

    Args:
        name: ``'train'``, ``'val'`` or ``'test'``.
        loader: Its config.
        evaluator: The config of what scores it, or of several metrics.
    """

    name: str
    loader: dict
    evaluator: dict | list[dict] | None = None

    @cached_property
    def metrics(self) -> list[dict]:
        """The configs of its metrics."""
        return metrics_in(self.evaluator)

    @cached_property
    def leaves(self) -> list[Leaf]:
        """The data sets inside its wrappers."""
        return [*map(Leaf, leaf_datasets(self.loader['dataset']))]

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names of the first data set; all have these."""
        return self.leaves[0].classes

    @property
    def pipeline(self) -> list[dict]:
        """The pipeline of the first data set."""
        return self.leaves[0].cfg['pipeline']

    @property
    def sources(self) -> list[str]:
        """Where the labels come from, for messages."""
        return [leaf.source for leaf in self.leaves]

    @cached_property
    def sha256(self) -> str:
        """The digest that tells it from other data.

        That of its data set, or of the digests of several. Where samples are
        left out, by a wrapper or ``indices``, those that stay count too.
        """
        digests = [leaf.sha256 for leaf in self.leaves]
        if not self._keeps_all():
            dataset = self.build(lambda pipeline: [])
            samples = (dataset[index] for index in distinct(dataset))
            digests.append(_digest(samples))
        if len(digests) == 1:
            return digests[0]
        return sha256(''.join(digests).encode()).hexdigest()

    def _keeps_all(self) -> bool:
        leaf, whole = self.leaves[0], without_views(self.loader['dataset'])
        if leaf.cfg is whole and leaf.is_classification:
            return True  # its own digest is of what it keeps
        return keeps_all(whole)

    def build(
        self, change: Callable[[list[dict]], list[dict]] | None = None
    ) -> Dataset:
        """Make the data set.

        Args:
            change: Gets the pipeline of each data set and returns another;
                images are not mixed then.
        """
        dataset = self.loader['dataset']
        return DATASETS.build(
            _changed(dataset, change) if change else copy.deepcopy(dataset)
        )


class RunData:
    """The data of a run, by split.

    Args:
        cfg: The run's config.

    Attributes:
        train: The training data, None without.
        val: The validation data.
        test: The test data.
    """

    def __init__(self, cfg: Config) -> None:
        for name in SPLITS:
            loader = cfg.get(f'{name}_dataloader')
            evaluator = cfg.get(f'{name}_evaluator')
            split = Split(name, loader, evaluator) if loader else None
            setattr(self, name, split)

    def held_out(self, use: str) -> Split:
        """Return the data that are read without augmentation.

        Args:
            use: What they are for, for the message.

        Returns:
            The test data, or without them the validation data.

        Raises:
            UserError: There are none.
        """
        split = self.test or self.val
        if split is None:
            raise UserError(
                f'{use} needs a test_dataloader or val_dataloader, and the '
                'config has none of both; add one.'
            )
        return split

    @classmethod
    def of(cls, source: 'RunData | Runner | Config') -> 'RunData':
        """Return the data of a run: looked up once for each runner."""
        if isinstance(source, Runner):
            if not hasattr(source, 'run_data'):
                source.run_data = cls(source.cfg)
            return source.run_data
        return source if isinstance(source, cls) else cls(source)


def _changed(
    dataset: dict, change: Callable[[list[dict]], list[dict]]
) -> dict:
    """Return a copy of a data set's config with other pipelines."""
    found = copy.deepcopy(dataset)
    parts = parts_of(found)
    if 'pipeline' in found:
        found['pipeline'] = [] if parts else change(found['pipeline'])
    if isinstance(found.get('dataset'), dict):
        found['dataset'] = _changed(found['dataset'], change)
    elif parts:
        key = 'dataset' if 'dataset' in found else 'datasets'
        found[key] = [_changed(part, change) for part in parts]
    return found


def _digest(samples: Iterable[dict], folder: str = '') -> str:
    """Return the digest of samples: image and label of each, in order."""
    digest = sha256()
    for sample in samples:
        if 'img_path' in sample:
            path = sample['img_path']
            path = osp.relpath(path, folder) if folder else osp.basename(path)
            image = PurePath(path).as_posix().encode()
        else:
            image = np.ascontiguousarray(sample['img']).tobytes()
        label = str(sample.get('gt_label', sample.get('instances')))
        digest.update(b'%d %b %b\n' % (len(image), image, label.encode()))
    return digest.hexdigest()
