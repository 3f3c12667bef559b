"""Triplet loss for embeddings."""

import torch
from torch import Tensor, nn

from kd_det.checks import check_choice, check_not_negative
from kd_det.errors import UserError
from kd_det.functional._common import check_shapes, safe_normalize
from kd_det.registry import MODELS

# Distance-weighted sampling: smaller distances are clipped to the first value;
# negatives beyond the second never violate the margin.
NEAREST, FARTHEST = 0.5, 1.4
MINING = ('all', 'random', 'hard', 'semi-hard', 'distance')


@MODELS.register_module()
class TripletLoss(nn.Module):
    r"""Mean margin violation over triplets.

    .. math::
        L = \frac{1}{|\mathcal{T}|} \sum_{(a, p, n) \in \mathcal{T}}
        \bigl[ \|x_a - x_p\| - \|x_a - x_n\| + m \bigr]_+

    Distances are not squared; triplets that satisfy the margin contribute 0 to
    the mean. ``mining`` selects the triplets: ``'all'``, or one for each
    anchor-positive pair, whose negative is ``'random'``, the nearest
    (``'hard'``), the nearest that is farther than the positive or else the
    farthest (``'semi-hard'``), or sampled uniformly over distances
    (``'distance'``), see :func:`distance_weights`. A batch without triplets
    gives a 0 that is connected to the graph.

    The loss, ``'all'`` and ``'hard'`` come from pytorch-metric-learning. Its
    other miners sample positives with replacement and drop anchors whose
    weights vanish, so ours are used instead.

    Args:
        margin: Margin m, in units of the embeddings.
        mining: One of the five strategies.

    Raises:
        UserError: An argument is out of range, or pytorch-metric-learning is
            not installed.

    Paper: https://arxiv.org/abs/1706.07567

    Differs from the RKD authors' code, which adds 1e-6 to each difference and
    fails for a batch with one class or opposite embeddings.
    """

    def __init__(self, margin: float = 0.2, mining: str = 'distance') -> None:
        super().__init__()
        check_not_negative(self, 'margin', margin)
        self.mining = check_choice(self, 'mining', mining, MINING)
        library = _library()
        distance = library.distances.LpDistance(normalize_embeddings=False)
        self.loss = library.losses.TripletMarginLoss(
            margin,
            distance=distance,
            reducer=library.reducers.MeanReducer(),
        )
        self.miner = library.miners.BatchEasyHardMiner(
            'all', 'hard', distance=distance
        )

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss as a scalar, computed in at least float32.

        Args:
            embeddings: Shape (N, D).
            labels: Shape (N,).
        """
        check_shapes(embeddings=(embeddings, 'N D'), labels=(labels, 'N'))
        if len(embeddings) == 0:  # min and max would fail
            return embeddings.sum() * 0
        if embeddings.dtype in (torch.float16, torch.bfloat16):
            embeddings = embeddings.float()
        with torch.autocast(embeddings.device.type, enabled=False):
            triplets = self.mine(embeddings.detach(), labels)
            return self.loss(embeddings, labels, triplets)

    @torch.no_grad()
    def mine(self, embeddings: Tensor, labels: Tensor) -> tuple | None:
        """Return triplet indices for pytorch-metric-learning.

        Args:
            embeddings: Shape (N, D).
            labels: Shape (N,).

        Returns:
            Anchors, positives and negatives, or None for all triplets.
        """
        if self.mining == 'all':
            return None
        if self.mining == 'hard':
            return self.miner(embeddings, labels)
        same = labels[:, None] == labels
        usable = same & ~same.all(1, keepdim=True)  # anchors with a negative
        anchors, positives = usable.fill_diagonal_(False).nonzero().T
        if len(anchors) == 0:
            return anchors, positives, anchors
        if self.mining == 'semi-hard':
            distances = torch.cdist(embeddings, embeddings)
            negatives = _semi_hard(
                distances[anchors],
                distances[anchors, positives],
                same[anchors],
            )
        else:
            weights = (
                (~same).float()
                if self.mining == 'random'
                else distance_weights(embeddings, labels)
            )
            negatives = weights[anchors].multinomial(1)[:, 0]
        return anchors, positives, negatives


@torch.no_grad()
def distance_weights(embeddings: Tensor, labels: Tensor) -> Tensor:
    r"""Sampling weights of negatives for a uniform distribution of distances.

    .. math::
        w_{ij} \propto D_{ij}^{2-d}
        \left(1 - \tfrac{1}{4} D_{ij}^2\right)^{-(d-3)/2}

    is the inverse density of distances on the d-dimensional sphere. Rows are
    normalised first; :math:`D` is clipped to at least 0.5, and negatives
    beyond 1.4 have weight 0. If all weights of a row are 0, they become
    uniform.

    Args:
        embeddings: Shape (N, d).
        labels: Shape (N,).

    Returns:
        Shape (N, N); rows sum to 1, or 0 without a negative.
    """
    unit = safe_normalize(embeddings)
    square = (2 - 2 * unit @ unit.T).clamp(min=0)
    square.fill_diagonal_(1)
    distances = square.sqrt().clamp(min=NEAREST)
    width = embeddings.shape[1]
    # keeps the logarithm finite for opposite points
    rest = (1 - distances.square() / 4).clamp(min=1e-8)
    log = (2 - width) * distances.log() - (width - 3) / 2 * rest.log()
    weights = (log - log.amax(1, keepdim=True)).exp()
    negative = labels[:, None] != labels
    weights = weights * (negative & (distances < FARTHEST))
    # also for NaN, which the loss propagates instead of failing here
    vanished = ~(weights.sum(1, keepdim=True) > 0)
    weights = torch.where(vanished, negative.to(weights), weights)
    total = weights.sum(1, keepdim=True)
    return weights / total.masked_fill(total == 0, 1)


def _semi_hard(distances: Tensor, limits: Tensor, same: Tensor) -> Tensor:
    """Return the semi-hard negative of each pair, (P,)."""
    farthest = distances.masked_fill(same, -torch.inf).argmax(1)
    beyond = ~same & (distances > limits[:, None])
    nearest = distances.masked_fill(~beyond, torch.inf).argmin(1)
    return torch.where(beyond.any(1), nearest, farthest)


def _library():
    try:
        import pytorch_metric_learning.distances
        import pytorch_metric_learning.losses
        import pytorch_metric_learning.miners
        import pytorch_metric_learning.reducers
    except ImportError:
        raise UserError(
            'TripletLoss needs pytorch-metric-learning; install it with '
            "pip install 'kd_det[metric]'."
        ) from None
    return pytorch_metric_learning
