"""Connector: a trainable map of one student field to the teacher's shape."""

from collections.abc import Sequence

from torch import Tensor, nn

from kd_det.checks import check_count
from kd_det.errors import UserError

Channels = int | Sequence[int]
Field = Tensor | Sequence[Tensor]


class Connector(nn.Module):
    """Base of all connectors.

    A connector trains with the student and is no part of it: a checkpoint
    keeps it under ``distill.``. A distiller fills in the channels from what
    it sees of both networks. A subclass builds its layers and writes
    ``forward``.

    Args:
        in_channels: Channels of the student's field; one a level for a field
            of several levels.
        out_channels: The same of the teacher's.
    """

    # Whether it works on maps, or on vectors; where it says so, a distiller
    # holds its channels against the networks'.
    on_maps: bool | None = None

    def __init__(self, in_channels: Channels, out_channels: Channels) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels

    def forward(self, field: Field, like: Field) -> Field:
        """Return the student's field in the shape of the teacher's.

        Args:
            field: The student's, such as an embedding (N, D).
            like: The teacher's field; only its shape is used.
        """
        raise NotImplementedError

    def check_levels(self) -> tuple[Sequence[int], Sequence[int]]:
        """Return the channels, two lists of one length, or stop."""
        ours = self._levels('in_channels')
        theirs = self._levels('out_channels')
        if len(ours) != len(theirs):
            raise UserError(
                f'{type(self).__name__}: in_channels={ours!r} has '
                f'{len(ours)} levels, out_channels={theirs!r} has '
                f'{len(theirs)}; as many are accepted.'
            )
        return ours, theirs

    def _levels(self, name: str) -> Sequence[int]:
        levels = getattr(self, name)
        if not isinstance(levels, Sequence) or not levels:
            raise UserError(
                f'{type(self).__name__}: {name}={levels!r}; a list of '
                'integers above 0 is accepted, one a level from shallow '
                'to deep.'
            )
        for i, channels in enumerate(levels):
            check_count(self, f'{name}[{i}]', channels, 1)
        return levels

    def check_shapes(
        self, field: Tensor, like: Tensor, level: int = 0
    ) -> None:
        """Stop unless channels and samples are those it was built for."""
        ours, theirs = tuple(field.shape), tuple(like.shape)
        channels = _at(self.in_channels, level), _at(self.out_channels, level)
        if len(ours) != len(theirs) or (ours[1], theirs[1]) != channels:
            raise UserError(
                f'{type(self).__name__} was built for {channels[0]} channels '
                f'of the student and {channels[1]} of the teacher, but got '
                f'the shapes {ours} and {theirs}; correct in_channels and '
                'out_channels or leave them out, and the distiller fills '
                'them in.'
            )

    def check_batch(self, field: Tensor) -> None:
        """Stop where batch norm would see a single value a channel."""
        if self.training and field.numel() == field.shape[1]:
            raise UserError(
                f'{type(self).__name__} got a batch of one sample, shape '
                f'{tuple(field.shape)}, and its batch norm needs two to '
                'train; raise batch_size, or set drop_last=True in '
                'train_dataloader if the last batch is the short one.'
            )


def _at(channels: Channels, level: int) -> int:
    return channels if isinstance(channels, int) else channels[level]
