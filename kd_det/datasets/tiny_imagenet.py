"""Tiny-ImageNet: 200 classes of ImageNet at 64x64 pixels."""

import os.path as osp
from collections.abc import Iterable

from kd_det.datasets.retrieval import ClassSplit, images_in
from kd_det.registry import DATASETS


@DATASETS.register_module()
class TinyImageNet(ClassSplit):
    """Tiny-ImageNet in the layout of its archive, ``tiny-imagenet-200``.

    Reads ``train/<class>/images/`` and, for the images of ``val/images/``,
    ``val/val_annotations.txt``. The test split is published without labels.
    Classes are WordNet ids in alphabetical order. Arguments are those of
    :class:`ClassSplit`.
    """

    name = 'Tiny-ImageNet'
    page = 'https://cs231n.stanford.edu/tiny-imagenet-200.zip'
    splits = dict(train=200, val=200)

    def entries(self) -> Iterable[tuple[dict, str]]:
        """See :meth:`ClassSplit.entries`."""
        if self.split == 'train':
            folder = self.find('train')
            for path in images_in(folder):
                name = osp.relpath(path, folder).partition(osp.sep)[0]
                yield dict(img_path=path), name
            return
        folder = self.find('val', 'images')
        rows = self.table('val', 'val_annotations.txt', columns=6)
        # sorted by class, so that labels match the training images
        for file, name, *_ in sorted(rows, key=lambda row: row[1]):
            yield dict(img_path=osp.join(folder, file)), name
