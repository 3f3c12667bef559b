"""PeerOptimWrapperConstructor: an optimiser for each peer."""

import copy

from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from torch import nn

from kd_det.errors import UserError
from kd_det.models.unwrap import unwrap
from kd_det.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PeerOptimWrapperConstructor:
    """Give each peer of a ``MutualModel`` its own optimiser.

    All use the same config. Each trains a peer and the parameters of its
    distillers.

    Args:
        optim_wrapper_cfg: As for MMEngine's constructors.
        paramwise_cfg: As for MMEngine's constructors; its keys are matched
            within a peer.

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
    """The peers' optimisers, which count steps like a single optimiser."""

    def initialize_count_status(
        self, model: nn.Module, cur_iter: int, max_iters: int
    ) -> None:
        """Pass each the start and end of training.

        With gradient accumulation they decide which steps update the weights.
        """
        for own in self.values():
            own.initialize_count_status(model, cur_iter, max_iters)

    def optim_context(self, model: nn.Module) -> None:
        """Raise, since only a model without peers uses it."""
        raise UserError(
            f'{type(model).__name__} takes one optimiser, but there is one '
            'for each peer; with several processes write '
            "model_wrapper_cfg=dict(type='kd_det.MutualDataParallel')."
        )
