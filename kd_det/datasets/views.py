"""A data set with a few reproducible augmentations of each image."""

import random

import numpy as np
from mmengine.registry import DATASETS as ROOT
from torch.utils.data import Dataset

from kd_det import random_state
from kd_det.registry import DATASETS


@DATASETS.register_module()
class SeededViews(Dataset):
    """Load each image with one of a few fixed augmentations.

    A view is the augmentation of an image with its own seed, so that the
    teacher's outputs for it can be stored. Its number is stored as ``view``,
    with the index of the image, in the meta information of the data sample.
    ``kd_det train`` adds this wrapper for a distiller with a ``cache``.

    Args:
        dataset: Config of the data set.
        views: Views per image.
        seed: Seed of all views.
    """

    def __init__(self, dataset: dict, views: int = 4, seed: int = 0) -> None:
        self.dataset = ROOT.build(dataset)
        self.views = views
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        return self.view(index, random.randrange(self.views))

    def view(self, index: int, view: int) -> dict:
        """Return an image in one of its views.

        Args:
            index: Index of the image.
            view: Number of the view.
        """
        entropy = np.random.SeedSequence([self.seed, index, view])
        with random_state.seeded(int(entropy.generate_state(1)[0])):
            sample = self.dataset[index]
        if 'data_samples' in sample:
            sample['data_samples'].set_metainfo(dict(view=(index, view)))
        return sample

    @property
    def metainfo(self) -> dict:
        """That of the data set."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Read the data set."""
        self.dataset.full_init()

    def get_data_info(self, index: int) -> dict:
        """Return what is known of a sample before it is loaded."""
        return self.dataset.get_data_info(index)

    def _get_ori_dataset_idx(self, index: int) -> int:
        return index  # as MMEngine's wrappers tell
