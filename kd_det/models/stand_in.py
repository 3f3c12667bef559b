"""StandIn: a module that looks like one inside it to other packages."""

from torch import nn


class StandIn(nn.Module):
    """Forwards attributes that it lacks to a module inside it.

    Hooks, optimiser constructors and loops of other packages access
    ``runner.model`` as if it were a plain network. An attribute that this
    module lacks is read from, and set on, the inner module.
    """

    def _stands_for(self) -> nn.Module | None:
        """Return the inner module; None during construction."""
        raise NotImplementedError

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            meant = self._stands_for()
            if meant is None or name.startswith('__'):
                raise
            return getattr(meant, name)

    def __setattr__(self, name: str, value) -> None:
        meant = self._stands_for()
        if meant is None or self._has(name) or not hasattr(meant, name):
            super().__setattr__(name, value)
        else:
            setattr(meant, name, value)

    def _has(self, name: str) -> bool:
        own = (vars(self), self._parameters, self._buffers, self._modules)
        return hasattr(type(self), name) or any(name in part for part in own)
