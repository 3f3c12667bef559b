"""EmbeddingAdaptor: the student's embedding as wide as the teacher's."""

from torch import Tensor, nn

from kd_det.checks import check_count
from kd_det.connectors.base import Connector
from kd_det.errors import UserError
from kd_det.random_state import OwnNumbers
from kd_det.registry import MODELS


@MODELS.register_module()
class EmbeddingAdaptor(Connector):
    """Batch norm, dropout and a linear layer: the adaptor of KD++.

    The logits still come from the raw embedding. What comes out may be
    negative, unlike an embedding behind a ReLU. The dropout draws numbers
    of its own, so that the student draws what it does without.

    Args:
        in_channels: Width of the student's embedding.
        out_channels: Width of the teacher's.
        dropout: Share of the entries that are zeroed, from 0 to below 1.

    Raises:
        UserError: A width is no integer above 0, or dropout out of range.

    Paper: https://arxiv.org/abs/2305.17007

    Differs from the authors' code: the layers begin as PyTorch makes them;
    there the bias (CIFAR) or the weight (ImageNet) of every linear layer of
    the student, its class layer too, is drawn anew.
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
                f'EmbeddingAdaptor: dropout={dropout!r}; a number from 0 to '
                'below 1 is accepted.'
            )
        self.norm = nn.BatchNorm1d(in_channels)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(in_channels, out_channels)
        self.numbers = OwnNumbers()

    def forward(self, field: Tensor, like: Tensor) -> Tensor:
        """Return an embedding (N, D) of the teacher's width.

        Args:
            field: The student's embedding (N, in_channels).
            like: The teacher's (N, out_channels); only its shape is used.

        Raises:
            UserError: A width is another than at the build, or one sample
                came to train on.
        """
        self.check_shapes(field, like)
        self.check_batch(field)
        field = self.norm(field)
        if self.training:
            with self.numbers.drawn():
                field = self.dropout(field)
        return self.linear(field)
