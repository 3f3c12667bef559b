"""StandIn: a module that other packages may take for one inside it."""

from torch import nn


class StandIn(nn.Module):
    """Answers for a module inside it, wherever it has no answer itself.

    Hooks, optimiser constructors and loops of other packages reach into
    ``runner.model`` as if it were a plain network. An attribute that this
    module lacks is read from, and set on, the one that it stands for.
    """

    def _stands_for(self) -> nn.Module | None:
        """Return the module that is meant; None while this one is made."""
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
