"""RecallAtK: retrieval among the test images."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric

from kd_det.checks import check_count
from kd_det.errors import UserError
from kd_det.functional import recall_at_k
from kd_det.registry import METRICS


class EmbeddingMetric(BaseMetric):
    """Base that collects all embeddings with their labels.

    Args:
        collect_device: As in MMEngine.
        prefix: As in MMEngine.

    Raises:
        UserError: A sample has no embedding or label, or an embedding is not
            finite.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Store ``pred_embed`` and ``gt_label`` of data samples."""
        for sample in data_samples:
            if 'pred_embed' not in sample or 'gt_label' not in sample:
                raise UserError(
                    f'{type(self).__name__} got a data sample with '
                    f'{", ".join(sample) or "nothing"}; pred_embed (from an '
                    'EmbeddingModel) and gt_label (from a data set with '
                    'classes) are needed.'
                )
            # a copy, since a view would keep the batch in memory
            embed = sample['pred_embed'].detach().float().cpu().clone()
            self.results.append((embed, int(sample['gt_label'])))

    def stack(self, results: list) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings (N, D) and labels (N,), and clear the list."""
        embeddings = torch.stack([embed for embed, _ in results])
        labels = torch.tensor([label for _, label in results])
        results.clear()  # save memory
        self.results.clear()
        # the argmax of NaN would look like a valid class
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
    """Percentage of images with a same-class image among the K nearest.

    Every image is a query against all others. Keys are ``retrieval/recall@K``.

    Args:
        ks: Numbers of neighbours, each below the number of images.
        collect_device: As in MMEngine.
        prefix: As in MMEngine.

    Raises:
        UserError: ``ks`` are not positive integers.

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
                f'RecallAtK: ks={ks!r}; a sequence of numbers of neighbours, '
                'such as (1, 2, 4, 8), is accepted.'
            )
        self.ks = tuple(check_count(self, 'each of ks', k, 1) for k in ks)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the recall for each K."""
        embeddings, labels = self.stack(results)
        if max(self.ks) >= len(labels):
            raise UserError(
                f'RecallAtK: ks={self.ks} with {len(labels)} images; numbers '
                'below that of the images are accepted: set '
                'val_evaluator.ks and test_evaluator.ks, or use more images.'
            )
        recalls = recall_at_k(embeddings, labels, self.ks)
        return {f'recall@{k}': 100 * recall for k, recall in recalls.items()}
