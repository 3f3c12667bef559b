"""RecallAtK: does a search among the test images find the right class?"""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric

from kd_det.checks import check_count
from kd_det.errors import UserError
from kd_det.functional import recall_at_k
from kd_det.registry import METRICS


class EmbeddingMetric(BaseMetric):
    """Base: collects the embeddings of a whole set with their labels.

    Args:
        collect_device: As in MMEngine.
        prefix: As in MMEngine.

    Raises:
        UserError: A sample has no embedding or no label, or an embedding is
            not finite.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep ``pred_embed`` and ``gt_label`` of data samples."""
        for sample in data_samples:
            if 'pred_embed' not in sample or 'gt_label' not in sample:
                raise UserError(
                    f'{type(self).__name__} got a data sample with '
                    f'{", ".join(sample) or "nothing"}; pred_embed, of an '
                    'EmbeddingModel, and gt_label, of a data set with '
                    'classes, are needed.'
                )
            # a copy: the row alone would keep its batch alive
            embed = sample['pred_embed'].detach().float().cpu().clone()
            self.results.append((embed, int(sample['gt_label'])))

    def stack(self, results: list) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings (N, D) and labels (N,); empties the list."""
        embeddings = torch.stack([embed for embed, _ in results])
        labels = torch.tensor([label for _, label in results])
        results.clear()  # not twice in memory
        self.results.clear()
        # an argmax of NaN would be a class like any other
        broken = int((~embeddings.isfinite().all(1)).sum())
        if broken:
            raise UserError(
                f'{type(self).__name__}: {broken} of {len(labels)} embeddings '
                'have NaN or infinity; lower the learning rate, or look for '
                'the first loss of the log that is not finite.'
            )
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

    Raises:
        UserError: ``ks`` are no such numbers.

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
        if not isinstance(ks, Sequence) or len(ks) == 0:
            raise UserError(
                f'RecallAtK: ks={ks!r}; one number of neighbours or more, '
                'such as (1, 2, 4, 8), are accepted.'
            )
        self.ks = tuple(check_count(self, 'each of ks', k, 1) for k in ks)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the recalls."""
        embeddings, labels = self.stack(results)
        if max(self.ks) >= len(labels):
            raise UserError(
                f'RecallAtK: ks={self.ks} of {len(labels)} images; numbers '
                'below that of the images are accepted: set val_evaluator.ks '
                'and test_evaluator.ks, or give more images.'
            )
        recalls = recall_at_k(embeddings, labels, self.ks)
        return {f'recall@{k}': 100 * recall for k, recall in recalls.items()}
