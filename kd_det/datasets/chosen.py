"""Some samples of a data set, whatever wrappers it is made of."""

import copy
from bisect import bisect_left
from collections.abc import Sequence

from torch.utils.data import Dataset

from kd_det.errors import UserError, few


class Chosen(Dataset):
    """The samples of a data set at some indices.

    MMEngine's wrappers have no ``get_subset``.

    Args:
        dataset: The data set, perhaps a wrapper.
        indices: Of its samples, in rising order.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict:
        return self.dataset[self.indices[index]]

    def get_data_info(self, index: int) -> dict:
        """Return what is known of a sample before it is loaded."""
        return self.dataset.get_data_info(self.indices[index])

    @property
    def metainfo(self) -> dict | list[dict]:
        """That of the data set; of MMDetection's ``ConcatDataset`` with the
        number of samples up to the end of each part."""
        metainfo = copy.deepcopy(self.dataset.metainfo)
        for part in metainfo if isinstance(metainfo, list) else [metainfo]:
            if 'cumulative_sizes' in part:
                part['cumulative_sizes'] = [
                    bisect_left(self.indices, end)
                    for end in part['cumulative_sizes']
                ]
        return metainfo


def spread(indices: Sequence[int], count: int | None) -> list[int]:
    """Return at most ``count`` of some indices, evenly spread; None: all."""
    count = min(len(indices), count or len(indices))
    return [indices[number * len(indices) // count] for number in range(count)]


def distinct(dataset: Dataset) -> list[int]:
    """Return the indices at which each sample of a data set comes first.

    Wrappers that repeat samples are seen through; what a wrapper leaves out
    is left out.

    Args:
        dataset: Perhaps a wrapper.
    """
    seen, found = set(), []
    for index in range(len(dataset)):
        place = _origin(dataset, index)
        if place not in seen:
            seen.add(place)
            found.append(index)
    return found


def _origin(dataset: Dataset, index: int) -> tuple[int, ...]:
    """Return where a sample comes from: the same for the same sample."""
    locate = getattr(dataset, '_get_ori_dataset_idx', None)
    if locate is None:  # no wrapper, or one that does not tell
        return (index,)
    place = locate(index)
    if isinstance(place, tuple):  # of a ConcatDataset
        part, index = place
        return (part, *_origin(dataset.datasets[part], index))
    return _origin(dataset.dataset, place)


def classes_of(dataset: Dataset) -> tuple[str, ...]:
    """Return the class names of a data set that is made.

    Args:
        dataset: Perhaps a wrapper; the parts of MMDetection's
            ``ConcatDataset`` have a ``metainfo`` each where these differ.

    Raises:
        UserError: Parts of it have other classes than the first.
    """
    metainfo = dataset.metainfo
    parts = metainfo if isinstance(metainfo, list) else [metainfo]
    first, *others = [tuple(part.get('classes') or ()) for part in parts]
    for other in others:
        if other != first:
            raise UserError(
                f'Parts of a data set have the classes ({few(first)}) and '
                f'({few(other)}), and labels mean one of them; write '
                'classes=(…) at the top of the config.'
            )
    return first
