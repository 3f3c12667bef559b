"""Continue a data loader after a resume."""

from collections.abc import Iterator

from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from kd_det import random_state


class ResumedBatches:
    """A batch sampler that continues where another process stopped.

    It counts batches, not indices, since a batch sampler may regroup indices.
    The generators are restored when the first new batch is requested, which is
    what came next after they were captured; random numbers drawn until then,
    to get to that point, have no effect.

    Args:
        batches: The batch sampler it replaces.
    """

    def __init__(self, batches) -> None:
        self._batches = batches
        self._skip = 0
        self._state: dict | None = None

    @classmethod
    def install(cls, loader: DataLoader) -> 'ResumedBatches':
        """Replace a loader's batch sampler."""
        name = 'sampler' if loader.batch_sampler is None else 'batch_sampler'
        batches = cls(getattr(loader, name))
        # bypasses DataLoader.__setattr__, which forbids a new batch sampler
        vars(loader)[name] = batches
        return batches

    def resume(self, state: dict, skip: int = 0) -> None:
        """Skip batches of the next pass; restore ``state`` after them."""
        self._skip, self._state = skip, state

    def __iter__(self) -> Iterator:
        batches = iter(self._batches)
        skip, self._skip = self._skip, 0
        for _ in range(skip):
            next(batches, None)
        while True:
            if self._state is not None:
                random_state.restore(self._state)
                self._state = None
            try:
                batch = next(batches)
            except StopIteration:
                return
            yield batch

    def __len__(self) -> int:
        return len(self._batches)

    def __getattr__(self, name: str):
        return getattr(vars(self)['_batches'], name)


class ResumedIterator:
    """The data iterator of an ``IterBasedTrainLoop`` while it resumes.

    It lets the loop skip the trained batches in the loop's own way, then
    restores the generators and removes itself.

    Args:
        loop: The loop whose iterator it replaces.
        batches: The sampler installed in the loop's data loader.
        state: The generators when the checkpoint was written.
    """

    def __init__(
        self, loop: IterBasedTrainLoop, batches: ResumedBatches, state: dict
    ) -> None:
        # a new one: in some versions the old one has started its first pass
        self._iterator = type(loop.dataloader_iterator)(loop.dataloader)
        self._loop, self._batches, self._state = loop, batches, state
        skips = not getattr(loop, 'fast_forward_on_resume', False)
        self._left = loop.iter if skips else 0

    def skip_iter(self, count: int) -> None:
        """Skip without loading, if this version of the loop supports it."""
        self._iterator.skip_iter(count)
        self._left = 0

    def __next__(self):
        if self._left:  # a version that skips by loading
            self._left -= 1
        else:
            self._batches.resume(self._state)
            self._loop.dataloader_iterator = self._iterator
        return next(self._iterator)
