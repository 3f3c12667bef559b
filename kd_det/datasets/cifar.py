"""MMPretrain's CIFAR-10 and CIFAR-100, but safe, offline and fast."""

from itertools import islice

import numpy as np
from mmpretrain import datasets

from kd_det.datasets.cifar_files import (
    CIFAR10_LAYOUT,
    CIFAR100_LAYOUT,
    read_split,
)
from kd_det.datasets.quick_pipeline import PROBES, QuickPipeline, quick
from kd_det.registry import DATASETS


class _Offline:
    """Reads the files without downloading or executing anything.

    The images are one array in memory. A pipeline of a crop, a flip and
    packing is run in one go.
    """

    _quick: QuickPipeline | None = None

    def __init__(self, *args, **kwargs) -> None:
        # what is listed is small, since the images are not part of it
        super().__init__(*args, **{**kwargs, 'serialize_data': False})

    def load_data_list(self) -> list[dict]:
        """Read the images, and return their rows and labels."""
        images, labels = read_split(
            self.data_prefix['root'], self.layout, self.split
        )
        # channels first, as a batch has them
        self.images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return [
            dict(row=row, gt_label=label)
            for row, label in enumerate(labels.tolist())
        ]

    def full_init(self) -> None:
        """Read the files, and look whether the pipeline can be quick."""
        if self._fully_initialized:
            return
        super().full_init()
        some = islice(range(len(self)), PROBES)
        self._quick = quick(self.pipeline, [*map(self.get_data_info, some)])

    def get_data_info(self, idx: int) -> dict:
        """Return an image (32, 32, 3), RGB, with its label."""
        info = super().get_data_info(idx)
        image = self.images[info.pop('row')]
        info['img'] = image.transpose(1, 2, 0).copy()
        return info

    def prepare_data(self, idx: int) -> dict:
        """Return what the pipeline makes of an image."""
        if self._quick is None:
            return super().prepare_data(idx)
        entry = self.data_list[idx]
        index = idx if idx >= 0 else len(self) + idx
        return self._quick(self.images[entry['row']], entry['gt_label'], index)


@DATASETS.register_module()
class CIFAR10(_Offline, datasets.CIFAR10):
    """MMPretrain's CIFAR-10 without downloads or pickle execution.

    Shapes and labels are checked but not checksums, so converted files are
    accepted. ``download`` is ignored.

    Example:
        >>> dataset = dict(type='kd_det.CIFAR10', data_root='data/cifar10',
        ...                split='train')
    """

    layout = CIFAR10_LAYOUT


@DATASETS.register_module()
class CIFAR100(_Offline, datasets.CIFAR100):
    """MMPretrain's CIFAR-100 with its fine labels, see :class:`CIFAR10`."""

    layout = CIFAR100_LAYOUT
