"""EpisodeAccuracy: few-shot accuracy with its confidence interval."""

import numpy as np
import torch
from torch import Tensor

from kd_det.checks import check_count
from kd_det.errors import UserError
from kd_det.evaluation.recall_at_k import EmbeddingMetric
from kd_det.models.prototype_head import prototype_logits
from kd_det.registry import METRICS


@METRICS.register_module()
class EpisodeAccuracy(EmbeddingMetric):
    """Accuracy of N-way K-shot episodes in percent, with class means.

    All images are embedded once, and episodes are sampled from the embeddings,
    since at test time embeddings do not depend on the rest of the batch. The
    same seed gives the same episodes for all networks. Keys are
    ``fewshot/accuracy``, the mean over episodes, and ``fewshot/interval``, the
    half-width of its 95 % confidence interval.

    Args:
        ways: Classes per episode.
        shots: Support images per class.
        queries: Query images per class.
        episodes: Number of episodes.
        seed: Seed for sampling them.
        collect_device: As in MMEngine.
        prefix: As in MMEngine.

    Raises:
        UserError: A number is out of range, or too few classes have enough
            images.

    Example:
        >>> val_evaluator = dict(type='kd_det.EpisodeAccuracy', shots=5)
    """

    default_prefix = 'fewshot'

    def __init__(
        self,
        ways: int = 5,
        shots: int = 1,
        queries: int = 15,
        episodes: int = 1000,
        seed: int = 0,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        counts = dict(ways=ways, shots=shots, queries=queries)
        for name, value in dict(counts, episodes=episodes).items():
            least = 2 if name in ('ways', 'episodes') else 1
            check_count(self, name, value, least)
        check_count(self, 'seed', seed, 0)
        self.ways, self.shots, self.queries = ways, shots, queries
        self.episodes, self.seed = episodes, seed

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return accuracy and half-width of the interval, in percent."""
        embeddings, labels = self.stack(results)
        # avoids cancellation in float32
        embeddings = embeddings.double()
        per_class = self.shots + self.queries
        members = [
            (labels == label).nonzero()[:, 0].numpy()
            for label in labels.unique()
        ]
        members = [own for own in members if len(own) >= per_class]
        if len(members) < self.ways:
            raise UserError(
                f'EpisodeAccuracy: {len(members)} classes of the data set '
                f'have {self.shots} + {self.queries} images, but an episode '
                f'needs {self.ways}; reduce ways, shots or queries.'
            )
        rng = np.random.default_rng(self.seed)
        scores = np.empty(self.episodes)
        for episode in range(self.episodes):
            classes = rng.choice(len(members), self.ways, replace=False)
            rows = np.stack(
                [
                    rng.choice(members[c], per_class, replace=False)
                    for c in classes
                ]
            )
            scores[episode] = self.score(embeddings[torch.from_numpy(rows)])
        deviation = scores.std(ddof=1) / np.sqrt(self.episodes)
        return dict(
            accuracy=100 * float(scores.mean()),
            interval=100 * 1.96 * float(deviation),
        )

    def score(self, episode: Tensor) -> float:
        """Return the fraction of correct queries.

        Args:
            episode: Embeddings (C, K + Q, D).
        """
        support = episode[:, : self.shots]
        queries = episode[:, self.shots :].flatten(0, 1)
        predicted = prototype_logits(support, queries).argmax(1)
        own = torch.arange(self.ways).repeat_interleave(self.queries)
        return float((predicted == own).float().mean())
