"""Prototypical networks: classify by class means of a few embeddings."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_det.checks import check_count
from kd_det.errors import UserError
from kd_det.functional._common import check_shapes
from kd_det.registry import MODELS


def prototype_logits(support: Tensor, queries: Tensor) -> Tensor:
    r"""Return negative squared distances to class means, up to a constant.

    .. math::
        z_{qc} = -\|x_q - p_c\|^2 + \|x_q\|^2, \qquad
        p_c = \frac{1}{K} \sum_k x_{ck}

    The constant of each query does not affect softmax or argmax.

    Args:
        support: Embeddings (C, K, D): K for each of C classes.
        queries: Embeddings (Q, D).

    Returns:
        Shape (Q, C).
    """
    prototypes = support.mean(1)
    return 2 * queries @ prototypes.T - prototypes.square().sum(1)


@MODELS.register_module()
class PrototypeLoss(nn.Module):
    r"""Cross-entropy of an episode's queries over its class means.

    .. math::
        L = -\frac{1}{Q} \sum_q \log \frac{\exp(-\|x_q - p_{y_q}\|^2)}
        {\sum_c \exp(-\|x_q - p_c\|^2)}

    A batch is an episode drawn by ``EpisodeBatchSampler``, with the same
    number of images per class. The first ``shots`` of a class are its support
    set, the others its queries.

    Args:
        shots: Support images per class.

    Raises:
        UserError: ``shots`` is not an integer above 0, or a batch is not an
            episode.

    Paper: https://arxiv.org/abs/1703.05175
    """

    def __init__(self, shots: int = 1) -> None:
        super().__init__()
        self.shots = check_count(self, 'shots', shots, 1)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss of an episode.

        Args:
            embeddings: Shape (N, D).
            labels: Shape (N,).
        """
        check_shapes(embeddings=(embeddings, 'N D'), labels=(labels, 'N'))
        if embeddings.dtype in (torch.float16, torch.bfloat16):
            embeddings = embeddings.float()
        with torch.autocast(embeddings.device.type, enabled=False):
            classes = self._by_class(embeddings, labels)
            support, queries = classes.split(
                [self.shots, classes.shape[1] - self.shots], dim=1
            )
            logits = prototype_logits(support, queries.flatten(0, 1))
        own = torch.arange(len(classes), device=logits.device)
        return F.cross_entropy(logits, own.repeat_interleave(queries.shape[1]))

    def _by_class(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return (C, n, D), in batch order within each class."""
        counts = labels.unique(return_counts=True)[1].tolist()
        least, most = min(counts, default=0), max(counts, default=0)
        if least != most or least <= self.shots or len(counts) < 2:
            raise UserError(
                f'PrototypeLoss got {len(counts)} classes with {least} to '
                f'{most} images each; two or more classes with the same '
                f'number of images, above shots={self.shots}, are accepted: '
                'set train_dataloader.batch_sampler=dict('
                "type='kd_det.EpisodeBatchSampler', …)."
            )
        order = labels.argsort(stable=True)
        return embeddings[order].unflatten(0, (len(counts), least))
