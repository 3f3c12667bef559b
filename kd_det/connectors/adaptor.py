"""EmbeddingAdaptor: maps the student's embedding to the teacher's width."""

from torch import Tensor, nn

from kd_det.checks import check_count
from kd_det.connectors.base import Connector
from kd_det.errors import UserError
from kd_det.random_state import OwnNumbers
from kd_det.registry import MODELS


@MODELS.register_module()
class EmbeddingAdaptor(Connector):
    """Batch norm, dropout and a linear layer: the adaptor of KD++.

    The student's logits are still computed from the original embedding. The
    output may be negative, unlike an embedding after a ReLU. Dropout uses its
    own random generator, so the student's random numbers do not change.

    Args:
        in_channels: Width of the student's embedding.
        out_channels: Width of the teacher's.
        dropout: Dropout probability, in [0, 1).

    Raises:
        UserError: A width is not a positive integer, or dropout is out of
            range.

    Paper: https://arxiv.org/abs/2305.17007

    Differs from the authors' code: uses PyTorch's default initialisation;
    theirs reinitialises the bias (CIFAR) or the weight (ImageNet) of all
    linear layers of the student, including its classification layer.
    """

    on_maps = False

    def __init__(
        self, in_channels: int, out_channels: int, dropout: float = 0.5
    ) -> None:
        super().__init__(in_channels, out_channels)
        check_count(self, 'in_channels', in_channels, 1)
        check_count(self, 'out_channels', out_channels, 1)
        if not (isinstance(dropout, (int, float)) and 0 <= dropout < 1):
            raise UserError(
                f'EmbeddingAdaptor: dropout={dropout!r}; a number in [0, 1) '
                'is accepted.'
            )
        self.norm = nn.BatchNorm1d(in_channels)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(in_channels, out_channels)
        self.numbers = OwnNumbers()

    def forward(self, field: Tensor, like: Tensor) -> Tensor:
        """Return an embedding (N, D) with the teacher's width.

        Args:
            field: Student embedding (N, in_channels).
            like: Teacher embedding (N, out_channels); only its shape is used.

        Raises:
            UserError: A width differs from the constructor's, or there is a
                single sample in training.
        """
        self.check_shapes(field, like)
        self.check_batch(field)
        field = self.norm(field)
        if self.training:
            with self.numbers.drawn():
                field = self.dropout(field)
        return self.linear(field)
