"""DarkRank: the teacher's ranking of nearest neighbours."""

from torch import Tensor

from kd_det.checks import check_count, check_positive
from kd_det.errors import UserError
from kd_det.functional import darkrank_loss
from kd_det.losses.rkd import RelationalLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class DarkRankLoss(RelationalLoss):
    r"""Hard DarkRank: rank nearest neighbours in the teacher's order.

    .. math::
        L = -\frac1N \sum_i \sum_{k=1}^{K} \log
        \frac{\exp S_{i \pi_i(k)}}{\sum_{l=k}^{K} \exp S_{i \pi_i(l)}},
        \qquad S_{ij} = -\alpha \, \|s_i - s_j\|^\beta

    with :math:`\pi_i` the teacher's K nearest neighbours of sample i, in
    order. The embeddings may have different widths. With fewer than three
    samples the loss is 0.

    Args:
        alpha: Factor of the scores, above 0.
        beta: Exponent of the distances, at least 1.
        list_length: Number K of neighbours, at least 2.
        background: See :class:`RelationalLoss`.
        max_samples: See :class:`RelationalLoss`.
        gather: See :class:`RelationalLoss`.
        normalize: See :class:`RelationalLoss`.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: An argument is out of range.

    Paper: https://arxiv.org/abs/1707.01220
    """

    def __init__(
        self,
        alpha: float = 3.0,
        beta: float = 3.0,
        list_length: int = 4,
        background: str = 'all',
        max_samples: int | None = None,
        gather: bool = False,
        normalize: bool = False,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(
            background, max_samples, gather, normalize, loss_weight
        )
        self.alpha = check_positive(self, 'alpha', alpha)
        self.beta = check_positive(self, 'beta', beta)
        if beta < 1:
            raise UserError(
                f'DarkRankLoss: beta={beta!r}; a finite number of at least 1 '
                'is accepted, since smaller values give unbounded gradients '
                'for close pairs.'
            )
        self.list_length = check_count(self, 'list_length', list_length, 2)

    def relate(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :meth:`RelationalLoss.relate`."""
        return darkrank_loss(
            student, teacher, self.alpha, self.beta, self.list_length
        )
