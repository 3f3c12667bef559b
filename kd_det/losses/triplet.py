"""Triplet loss: a sample is nearer to its class than to the others."""

import torch
from torch import Tensor, nn

from kd_det.checks import check_choice, check_not_negative
from kd_det.errors import UserError
from kd_det.functional._common import check_shapes, safe_normalize
from kd_det.registry import MODELS

# The sampler of distances: nearer ones count as this far, and from the other
# on a negative never violates the margin.
NEAREST, FARTHEST = 0.5, 1.4
MINING = ('all', 'random', 'hard', 'semi-hard', 'distance')


@MODELS.register_module()
class TripletLoss(nn.Module):
    r"""Mean violation of a margin between two distances, over triplets.

    .. math::
        L = \frac{1}{|\mathcal{T}|} \sum_{(a, p, n) \in \mathcal{T}}
        \bigl[ \|x_a - x_p\| - \|x_a - x_n\| + m \bigr]_+

    Distances are not squared; triplets that keep the margin count, with 0.
    Which triplets there are says ``mining``: ``'all'``; or one for each pair
    of anchor and positive, whose negative is ``'random'``; the nearest
    (``'hard'``); the nearest that is farther than the positive, or the
    farthest (``'semi-hard'``); or drawn by ``'distance'``, evenly over the
    distances, see :func:`distance_weights`. A batch without a triplet gives
    a 0 that is connected to the graph.

    The loss, ``'all'`` and ``'hard'`` are those of pytorch-metric-learning.
    Its other miners draw positives with replacement and drop anchors whose
    weights vanish, so these are our own.

    Args:
        margin: The m, in units of the embeddings.
        mining: One of the five.

    Raises:
        UserError: An argument is none of these, or pytorch-metric-learning
            is not installed.

    Paper: https://arxiv.org/abs/1706.07567

    Differs from the authors' code: RKD's adds 1e-6 to each difference, and
    stops when a batch has one class or two embeddings are opposite.
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
        """Return the loss as a scalar, computed in float32 at least.

        Args:
            embeddings: Shape (N, D).
            labels: Shape (N,).
        """
        check_shapes(embeddings=(embeddings, 'N D'), labels=(labels, 'N'))
        if len(embeddings) == 0:  # no minimum to look for
            return embeddings.sum() * 0
        if embeddings.dtype in (torch.float16, torch.bfloat16):
            embeddings = embeddings.float()
        with torch.autocast(embeddings.device.type, enabled=False):
            triplets = self.mine(embeddings.detach(), labels)
            return self.loss(embeddings, labels, triplets)

    @torch.no_grad()
    def mine(self, embeddings: Tensor, labels: Tensor) -> tuple | None:
        """Return indices as pytorch-metric-learning takes them.

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
        usable = same & ~same.all(1, keepdim=True)  # there is a negative
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
    r"""Chances of each negative so that distances are drawn evenly.

    .. math::
        w_{ij} \propto D_{ij}^{2-d}
        \left(1 - \tfrac{1}{4} D_{ij}^2\right)^{-(d-3)/2}

    is the inverse of how dense distances are on a sphere of d dimensions.
    Rows are normalised first; :math:`D` is at least 0.5, negatives from 1.4
    on have no chance, and where none has one all have the same.

    Args:
        embeddings: Shape (N, d).
        labels: Shape (N,).

    Returns:
        Shape (N, N), rows sum to 1; to 0 where there is no negative.
    """
    unit = safe_normalize(embeddings)
    square = (2 - 2 * unit @ unit.T).clamp(min=0)
    square.fill_diagonal_(1)
    distances = square.sqrt().clamp(min=NEAREST)
    width = embeddings.shape[1]
    # opposite points: the logarithm must not be infinite
    rest = (1 - distances.square() / 4).clamp(min=1e-8)
    log = (2 - width) * distances.log() - (width - 3) / 2 * rest.log()
    weights = (log - log.amax(1, keepdim=True)).exp()
    negative = labels[:, None] != labels
    weights = weights * (negative & (distances < FARTHEST))
    # a NaN too: it is for the loss to show, not for the draw to stop at
    vanished = ~(weights.sum(1, keepdim=True) > 0)
    weights = torch.where(vanished, negative.to(weights), weights)
    total = weights.sum(1, keepdim=True)
    return weights / total.masked_fill(total == 0, 1)


def _semi_hard(distances: Tensor, limits: Tensor, same: Tensor) -> Tensor:
    """Return the negative of each pair (P,) from rows (P, N)."""
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
