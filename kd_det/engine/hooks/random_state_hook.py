"""RandomStateHook: a resumed run draws the same random numbers."""

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from kd_det import random_state
from kd_det.engine.resumed_batches import ResumedBatches, ResumedIterator
from kd_det.registry import HOOKS


@HOOKS.register_module()
class RandomStateHook(Hook):
    """Make a resumed run bit-identical to an uninterrupted one, on a CPU.

    Checkpoints store, under ``random_state``, the states of the Python, NumPy
    and torch generators of every rank, the sampler's seed and the position in
    the epoch; a resume restores them. Validation does not change the
    generators, so it does not matter whether a run was killed before or after
    it. Worker processes are reseeded every epoch, whereas with MMEngine alone
    they repeat the augmentation of the first one.

    Exact: with ``num_workers=0``, from any checkpoint; with non-persistent
        workers, from the end of an epoch of an ``EpochBasedTrainLoop``. Not
        exact: other cases with workers, gradient accumulation interrupted
        within a step, a sampler that draws from the global generators batch by
        batch, a different number of ranks. The hook warns about cases it can
        detect beforehand.

    Example:
        >>> custom_hooks = [dict(type='kd_det.RandomStateHook')]
    """

    priority = 'HIGHEST'  # so that what other hooks draw is replayed

    def __init__(self) -> None:
        self._position = 0  # batches trained on in this epoch
        self._start: dict | None = None  # generators at its start
        self._ranks: list[dict] | None = None  # gathered, until next step
        self._loaded: dict | None = None  # from the checkpoint
        self._stored: dict | None = None  # of it, what this run continues
        self._shifted = False

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keep the states; only a resume uses them."""
        self._loaded = checkpoint.get('random_state')

    def before_train(self, runner) -> None:
        """Seed the workers by epoch; check if a resume can be exact."""
        loader = runner.train_dataloader
        random_state.seed_workers(loader)
        if loader.num_workers > 0 and (
            loader.persistent_workers or _counts_iterations(runner)
        ):
            runner.logger.warning(
                'A resume of this run will not be exact, since workers '
                'outlive a checkpoint interval: set '
                'train_dataloader.persistent_workers=False in an epoch-based '
                'loop, or num_workers=0.'
            )
        stored = self._loaded
        if runner.iter == 0:
            return
        if stored is None:
            runner.logger.warning(
                'The checkpoint resumed from was written without '
                'RandomStateHook: this run draws different random numbers '
                'than the first would have.'
            )
        elif len(stored['ranks']) != get_world_size():
            runner.logger.warning(
                'The checkpoint resumed from has generator states of '
                f'{len(stored["ranks"])} ranks, but this run has '
                f'{get_world_size()}: it draws different random numbers.'
            )
        else:
            self._stored, self._position = stored, stored['position']
            if stored['sampler_seed'] is not None:
                # a run without a seed has drawn a new one by now
                _sampler(loader).seed = stored['sampler_seed']

    def before_train_epoch(self, runner) -> None:
        """Continue from the checkpoint's position, in a resumed epoch."""
        stored, self._stored = self._stored, None
        if stored is not None:
            state = stored['ranks'][get_rank()]
            self._go_on(runner, state, stored['position'])
        self._start = random_state.capture()

    def _go_on(self, runner, state: dict, position: int) -> None:
        loop = runner.train_loop
        if position == 0 and not _counts_iterations(runner):
            random_state.restore(state['now'])
            return
        # restore the state at the epoch's start: a sampler may shuffle with it
        random_state.restore(state['start'])
        batches = ResumedBatches.install(loop.dataloader)
        if _counts_iterations(runner):
            loop.dataloader_iterator = ResumedIterator(
                loop, batches, state['now']
            )
            return
        batches.resume(state['now'], skip=position)
        # hooks must see batch indices counted over the whole epoch
        run_iter = loop.run_iter
        loop.run_iter = lambda index, batch: run_iter(index + position, batch)
        self._shifted = True
        if loop.dataloader.num_workers > 0:
            runner.logger.warning(
                'Resumed within an epoch with worker processes: the rest of '
                'the epoch is augmented differently than in the first run.'
            )

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Discard the states from before this step."""
        self._ranks = None

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Count; gather before a checkpoint, since only rank 0 writes it."""
        self._position = batch_idx + 1
        if get_world_size() > 1 and _saves_now(runner):
            self._gather()

    def after_train_epoch(self, runner) -> None:
        """Reset the count."""
        self._position = 0
        if self._shifted:
            del runner.train_loop.run_iter
            self._shifted = False
        if get_world_size() > 1:
            self._gather()

    def before_val(self, runner) -> None:
        """Save the generator states of training."""
        if self._stored is None:
            self._gather()
        else:  # before the first step after a resume
            self._ranks = self._stored['ranks']

    def after_val(self, runner) -> None:
        """Restore them."""
        random_state.restore(self._ranks[get_rank()]['now'])

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Store the states; during validation, those of training."""
        checkpoint['random_state'] = dict(
            position=self._position,
            sampler_seed=getattr(
                _sampler(runner.train_dataloader), 'seed', None
            ),
            ranks=self._ranks or [self._own()],
        )

    def _own(self) -> dict:
        return dict(start=self._start, now=random_state.capture())

    def _gather(self) -> None:
        self._ranks = all_gather_object(self._own())


def _counts_iterations(runner) -> bool:
    return isinstance(runner.train_loop, IterBasedTrainLoop)


def _sampler(loader: DataLoader):
    """Return the sampler, which a batch sampler may wrap."""
    if hasattr(loader.sampler, 'seed'):
        return loader.sampler
    return getattr(loader.batch_sampler, 'sampler', None)


def _saves_now(runner) -> bool:
    return any(
        isinstance(hook, CheckpointHook)
        and not hook.by_epoch
        and (
            hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
            or (hook.save_last and hook.is_last_train_iter(runner))
        )
        for hook in runner.hooks
    )
