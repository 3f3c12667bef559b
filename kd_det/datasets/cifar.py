"""MMPretrain's CIFAR-10 and CIFAR-100, but safe and offline."""

from mmpretrain import datasets

from kd_det.datasets.cifar_files import (
    CIFAR10_LAYOUT,
    CIFAR100_LAYOUT,
    read_split,
)
from kd_det.registry import DATASETS


class _Offline:
    """Reads the files without downloading or executing anything."""

    def load_data_list(self) -> list[dict]:
        """Return the images (32, 32, 3), RGB, with their labels."""
        images, labels = read_split(
            self.data_prefix['root'], self.layout, self.split
        )
        return [
            dict(img=image, gt_label=label)
            for image, label in zip(images, labels.tolist())
        ]


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
