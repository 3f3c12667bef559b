"""PeerOptimWrapperConstructor: an optimiser for each peer."""

import copy

from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from torch import nn

from kd_det.errors import UserError
from kd_det.models.unwrap import unwrap
from kd_det.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PeerOptimWrapperConstructor:
    """Give each peer of a ``MutualModel`` an optimiser of its own.

    All are of one config. An optimiser trains the peer and what its
    distillers have.

    Args:
        optim_wrapper_cfg: As MMEngine's constructors take it.
        paramwise_cfg: The same; its keys are matched below a peer.

    Example:
        >>> optim_wrapper = dict(
        ...     constructor='kd_det.PeerOptimWrapperConstructor')
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        self.cfg = dict(optim_wrapper_cfg)
        if paramwise_cfg:
            self.cfg['paramwise_cfg'] = paramwise_cfg

    def __call__(self, model: nn.Module) -> 'PeerOptimWrappers':
        """Return the optimisers by the names of the peers.

        Raises:
            UserError: The model has no peers.
        """
        model = unwrap(model)
        if not hasattr(model, 'parts'):
            raise UserError(
                'PeerOptimWrapperConstructor is for a MutualModel, but the '
                f'model is a {type(model).__name__}; take constructor out of '
                'optim_wrapper.'
            )
        return PeerOptimWrappers(
            **{
                name: build_optim_wrapper(part, copy.deepcopy(self.cfg))
                for name, part in model.parts().items()
            }
        )


class PeerOptimWrappers(OptimWrapperDict):
    """The optimisers of peers, which count steps as a single one does."""

    def initialize_count_status(
        self, model: nn.Module, cur_iter: int, max_iters: int
    ) -> None:
        """Tell each where training begins and ends: where gradients are
        accumulated, that decides which steps move the weights.
        """
        for own in self.values():
            own.initialize_count_status(model, cur_iter, max_iters)

    def optim_context(self, model: nn.Module) -> None:
        """Stop: only a model without peers asks for it."""
        raise UserError(
            f'{type(model).__name__} takes one optimiser, and there is one '
            'for each peer; in several processes write model_wrapper_cfg='
            "dict(type='kd_det.MutualDataParallel')."
        )
