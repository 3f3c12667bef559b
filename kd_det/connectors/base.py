"""Connector: the base of modules that map a field to the teacher's shape."""

from collections.abc import Sequence

from torch import Tensor, nn

from kd_det.checks import check_count
from kd_det.errors import UserError

Channels = int | Sequence[int]
Field = Tensor | Sequence[Tensor]


class Connector(nn.Module):
    """Base of all connectors.

    A connector is trained with the student but is not part of it; checkpoints
    store it under ``distill.``. The distiller fills in the channels of both
    networks. A subclass builds its layers and implements ``forward``.

    Args:
        in_channels: Channels of the student's field, one per level for a field
            with several levels.
        out_channels: Channels of the teacher's field, likewise.
    """

    # Whether it takes feature maps or vectors. If set, the distiller checks
    # the channels against the networks.
    on_maps: bool | None = None

    def __init__(self, in_channels: Channels, out_channels: Channels) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels

    def forward(self, field: Field, like: Field) -> Field:
        """Return the student's field with the teacher's shape.

        Args:
            field: Student field, such as an embedding (N, D).
            like: Teacher field; only its shape is used.
        """
        raise NotImplementedError

    def check_levels(self) -> tuple[Sequence[int], Sequence[int]]:
        """Return the channels as two lists of the same length, or raise."""
        ours = self._levels('in_channels')
        theirs = self._levels('out_channels')
        if len(ours) != len(theirs):
            raise UserError(
                f'{type(self).__name__}: in_channels={ours!r} has '
                f'{len(ours)} levels, out_channels={theirs!r} has '
                f'{len(theirs)}; they must be equal.'
            )
        return ours, theirs

    def _levels(self, name: str) -> Sequence[int]:
        levels = getattr(self, name)
        if not isinstance(levels, Sequence) or not levels:
            raise UserError(
                f'{type(self).__name__}: {name}={levels!r}; a list of '
                'integers above 0 is accepted, one per level from shallow '
                'to deep.'
            )
        for i, channels in enumerate(levels):
            check_count(self, f'{name}[{i}]', channels, 1)
        return levels

    def check_shapes(
        self, field: Tensor, like: Tensor, level: int = 0
    ) -> None:
        """Raise unless channels match the constructor and samples agree."""
        ours, theirs = tuple(field.shape), tuple(like.shape)
        channels = _at(self.in_channels, level), _at(self.out_channels, level)
        if len(ours) != len(theirs) or (ours[1], theirs[1]) != channels:
            raise UserError(
                f'{type(self).__name__} was built for {channels[0]} channels '
                f'of the student and {channels[1]} of the teacher, but got '
                f'the shapes {ours} and {theirs}; correct in_channels and '
                'out_channels, or omit them and the distiller sets them.'
            )

    def check_batch(self, field: Tensor) -> None:
        """Raise if batch norm would get a single value per channel."""
        if self.training and field.numel() == field.shape[1]:
            raise UserError(
                f'{type(self).__name__} got a batch of one sample, shape '
                f'{tuple(field.shape)}, but its batch norm needs at least '
                'two in training; increase batch_size, or set '
                'drop_last=True in train_dataloader if only the last batch '
                'is too small.'
            )


def _at(channels: Channels, level: int) -> int:
    return channels if isinstance(channels, int) else channels[level]
