"""RecallAtK: does a search among the test images find the right class?"""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric

from kd_det.functional import recall_at_k
from kd_det.registry import METRICS


class EmbeddingMetric(BaseMetric):
    """Base: collects the embeddings of a whole set with their labels.

    Args:
        collect_device: As in MMEngine.
        prefix: As in MMEngine.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep ``pred_embed`` and ``gt_label`` of data samples."""
        for sample in data_samples:
            # a copy: the row alone would keep its batch alive
            embed = sample['pred_embed'].detach().float().cpu().clone()
            self.results.append((embed, int(sample['gt_label'])))

    def stack(self, results: list) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings (N, D) and labels (N,); empties the list."""
        embeddings = torch.stack([embed for embed, _ in results])
        labels = torch.tensor([label for _, label in results])
        results.clear()  # not twice in memory
        self.results.clear()
        return embeddings, labels


@METRICS.register_module()
class RecallAtK(EmbeddingMetric):
    """Per cent of images with one of their class among the K nearest.

    Every image is a query against all others of the set. Keys are
    ``retrieval/recall@K``.

    Args:
        ks: Numbers of neighbours, each below the number of images.
        collect_device: As in MMEngine.
        prefix: As in MMEngine.

    Example:
        >>> val_evaluator = dict(type='kd_det.RecallAtK', ks=(1, 2, 4, 8))
    """

    default_prefix = 'retrieval'

    def __init__(
        self,
        ks: Sequence[int] = (1, 2, 4, 8),
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        self.ks = tuple(ks)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the recalls."""
        recalls = recall_at_k(*self.stack(results), self.ks)
        return {f'recall@{k}': 100 * recall for k, recall in recalls.items()}
