"""What peers that teach each other need beside what pairs have."""

import torch
from torch import Tensor, nn

from kd_det import random_state
from kd_det.batch_norm import statistics_kept
from kd_det.connectors.coder import AutoEncoder
from kd_det.distillers.factor import FactorDistiller
from kd_det.errors import UserError
from kd_det.masks import fitting, zero_outside
from kd_det.registry import MODELS


class Peer:
    """A network that trains, as a distiller sees a teacher.

    It is shown images in train mode, with the statistics of the batch, and
    learns nothing from it.

    Args:
        model: The network.
        classes: Its class names in label order, or ().
    """

    # there is no checkpoint that anything could be held against
    sha256 = ''

    def __init__(
        self, model: nn.Module, classes: tuple[str, ...] = ()
    ) -> None:
        self.model = model
        self.classes = classes

    @torch.no_grad()
    def extract_feat(self, inputs: Tensor) -> tuple:
        """Return what the heads read."""
        with statistics_kept(self.model):
            return self.model.extract_feat(inputs)


@MODELS.register_module()
class MutualFactorDistiller(FactorDistiller):
    """IE-KD among peers: each has an auto-encoder that trains with it.

    The teacher's factors are those of the other peer, by its auto-encoder as
    it stands. ``student_reconstructions`` is what the peer's own auto-encoder
    makes of the peer's maps, for ``ReconstructionLoss``.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        channels: See :class:`FactorDistiller`.
        norm: See :class:`FactorDistiller`.
        shared: See :class:`FactorDistiller`.
        split: See :class:`FactorDistiller`.
        connectors: See :class:`FactorDistiller`.
        taps: See :class:`FactorDistiller`; in a ``MutualModel`` peer ->
            points, or one list of points for all.

    Paper: https://arxiv.org/abs/2107.00181
    """

    provides = (*FactorDistiller.provides, 'student_reconstructions')

    def __init__(
        self,
        losses: dict,
        channels: int | list[int] = 32,
        norm: bool = True,
        shared: bool = False,
        split: dict | None = None,
        connectors: dict | None = None,
        taps: dict[str, list[str]] | None = None,
    ) -> None:
        super().__init__(
            losses,
            channels=channels,
            norm=norm,
            shared=shared,
            split=split,
            connectors=connectors,
            taps=taps,
        )

    def check_factors(self) -> None:
        """See :class:`FactorDistiller`: here there is one at any time."""

    def bind(self, name: str, student: nn.Module, teacher: Peer) -> None:
        """See :meth:`Distiller.bind`."""
        super().bind(name, student, teacher)
        with random_state.isolated():
            self.own = AutoEncoder(
                self._channels[0], self.widths, **self.coder
            )

    def share(self, first: 'MutualFactorDistiller') -> None:
        """Take the split and the coders of the same peer's distiller.

        Args:
            first: Of the same peer, with another one as its teacher.
        """
        self.encoders, self.own = first.encoders, first.own
        if self.halves:
            self.split = first.split

    def meet(self, other: 'MutualFactorDistiller') -> None:
        """Listen to the auto-encoder of the other peer.

        Args:
            other: A distiller of the peer that is the teacher here.

        Raises:
            UserError: Its maps have other channels than this one sees.
        """
        theirs, own = self._channels[1], other._channels[0]
        if [*theirs] != [*own]:
            raise UserError(
                f'Peers of {type(self).__name__} see maps of {list(theirs)} '
                f'and {list(own)} channels of one network; name the points '
                'of each peer: taps=dict(a=[…], b=[…]).'
            )
        self._auto_encoder = (other.own,)

    def _apply(self, fn, recurse: bool = True) -> 'MutualFactorDistiller':
        # the other's auto-encoder moves with its own peer
        return nn.Module._apply(self, fn, recurse)

    def connect(self, knowledge: dict) -> dict:
        """See :class:`FactorDistiller`; adds the reconstructions."""
        maps = knowledge['student_feats']
        knowledge = super().connect(knowledge)
        if 'student_reconstructions' in self.asked:
            masks = knowledge['feat_masks']
            alone = tuple(
                zero_outside(level.detach(), fitting(mask, level))
                for level, mask in zip(maps, masks)
            )
            knowledge['student_reconstructions'] = self.own(alone, masks)
        return knowledge

    def _encoded(self, knowledge: dict) -> tuple[Tensor, ...]:
        with statistics_kept(self.auto_encoder):
            return super()._encoded(knowledge)
