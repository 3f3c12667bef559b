"""Distillation between peers."""

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
    """A trained network in the role of a teacher.

    It runs in training mode with batch statistics, without gradients or
    updates of running statistics.

    Args:
        model: The network.
        classes: Class names in label order, or ().
    """

    # there is no checkpoint to check files against
    sha256 = ''

    def __init__(
        self, model: nn.Module, classes: tuple[str, ...] = ()
    ) -> None:
        self.model = model
        self.classes = classes

    @torch.no_grad()
    def extract_feat(self, inputs: Tensor) -> tuple:
        """Return the features for the heads."""
        with statistics_kept(self.model):
            return self.model.extract_feat(inputs)


@MODELS.register_module()
class MutualFactorDistiller(FactorDistiller):
    """IE-KD between peers, whose auto-encoders are trained with them.

    The teacher's factors are those of the other peer, computed with the
    current state of its auto-encoder. ``student_reconstructions`` are the
    peer's feature maps reconstructed by its own auto-encoder, for
    ``ReconstructionLoss``.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        channels: See :class:`FactorDistiller`.
        norm: See :class:`FactorDistiller`.
        shared: See :class:`FactorDistiller`.
        split: See :class:`FactorDistiller`.
        connectors: See :class:`FactorDistiller`.
        taps: See :class:`FactorDistiller`; in a ``MutualModel``, a dict from
            peer to points, or one list for all.

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
        """Do nothing, since each peer always has an auto-encoder."""

    def bind(self, name: str, student: nn.Module, teacher: Peer) -> None:
        """See :meth:`Distiller.bind`."""
        super().bind(name, student, teacher)
        with random_state.isolated():
            self.own = AutoEncoder(
                self._channels[0], self.widths, **self.coder
            )

    def share(self, first: 'MutualFactorDistiller') -> None:
        """Share the split and the coders of another distiller of this peer.

        Args:
            first: Distiller of the same peer with a different teacher.
        """
        self.encoders, self.own = first.encoders, first.own
        if self.halves:
            self.split = first.split

    def meet(self, other: 'MutualFactorDistiller') -> None:
        """Use the auto-encoder of the other peer.

        Args:
            other: A distiller of the peer that acts as the teacher.

        Raises:
            UserError: The channels of its feature maps differ.
        """
        theirs, own = self._channels[1], other._channels[0]
        if [*theirs] != [*own]:
            raise UserError(
                f'Peers of {type(self).__name__} have feature maps with '
                f'{list(theirs)} and {list(own)} channels for the same '
                'network; set tap points for each peer: taps=dict(a=[…], '
                'b=[…]).'
            )
        self._auto_encoder = (other.own,)

    def _apply(self, fn, recurse: bool = True) -> 'MutualFactorDistiller':
        # the other auto-encoder belongs to its own peer
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
