"""PeerOptimWrapperConstructor: an optimiser for each peer."""

import copy

from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from torch import nn

from kd_det.errors import UserError
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

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Return the optimisers by the names of the peers.

        Raises:
            UserError: The model has no peers.
        """
        if not hasattr(model, 'parts'):
            raise UserError(
                'PeerOptimWrapperConstructor is for a MutualModel, but the '
                f'model is a {type(model).__name__}; take constructor out of '
                'optim_wrapper.'
            )
        return OptimWrapperDict(
            **{
                name: build_optim_wrapper(part, copy.deepcopy(self.cfg))
                for name, part in model.parts().items()
            }
        )
