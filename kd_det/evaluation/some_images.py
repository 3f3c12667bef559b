"""Score a network on some images of a data set, not on all."""

from bisect import bisect_left
from itertools import pairwise

from mmengine.evaluator import Evaluator
from torch.utils.data import Dataset

from kd_det.datasets.chosen import Chosen, distinct, spread


def some_of(dataset: Dataset, evaluator: Evaluator, count: int) -> Chosen:
    """Return some samples of a data set, evenly spread.

    A folder tree is sorted by class: its first images would be one class.

    Args:
        dataset: Perhaps a wrapper.
        evaluator: One that scores the parts of a ``ConcatDataset`` apart
            gets samples of each.
        count: At most so many, and one of each part.
    """
    indices = distinct(dataset)
    parts = _ends(dataset) if _scores_apart(evaluator) else [len(dataset)]
    places = [bisect_left(indices, end) for end in parts]
    chosen = []
    for begin, end in pairwise([0, *places]):
        share = -(-count * (end - begin) // len(indices))
        chosen += spread(indices[begin:end], share) if end > begin else []
    return Chosen(dataset, chosen)


def score_only(evaluator: Evaluator, dataset: Chosen) -> None:
    """Let metrics of COCO's count no image that was left out as missed.

    Args:
        evaluator: Its metrics are changed.
        dataset: The samples that it will be shown.
    """
    evaluator.dataset_meta = dataset.metainfo
    apart = _scores_apart(evaluator)
    ends = _ends(dataset) if apart else [len(dataset)]
    parts = [*pairwise([0, *ends])]
    for number, metric in enumerate(evaluator.metrics):
        if hasattr(metric, 'img_ids'):
            metric.img_ids = [
                dataset.get_data_info(index)['img_id']
                for index in range(*parts[number if apart else 0])
            ]


def _scores_apart(evaluator: Evaluator) -> bool:
    """Return whether it is a ``MultiDatasetsEvaluator``."""
    return hasattr(evaluator, 'dataset_prefixes')


def _ends(dataset: Dataset) -> list[int]:
    metainfo = dataset.metainfo
    first = metainfo[0] if isinstance(metainfo, list) else metainfo
    return first['cumulative_sizes']
