"""Check that a training takes steps and that its schedules fit its length."""

from collections.abc import Iterator
from itertools import islice

from mmengine.optim import _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader

from kd_det.errors import UserError, nearest
from kd_det.models.unwrap import unwrap
from kd_det.random_state import isolated

NEVER = 10**9  # end of a scheduler that has none
SPARE = 1000  # samples that a sampler may give beyond its length


def check_steps(runner) -> None:
    """Raise unless a training has steps, and an epoch an end.

    Args:
        runner: The runner, with its loop built.

    Raises:
        UserError: It has no step, or its sampler never ends.
    """
    loader = runner.train_dataloader
    if not len(loader):
        raise UserError(
            f'An epoch has no step, since the {len(loader.dataset)} training '
            'images are fewer than a batch and train_dataloader has '
            'drop_last=True; take smaller batches, or drop_last=False.'
        )
    epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
    if epochs and _is_endless(loader):
        sampler = type(_sampler(loader)).__name__
        raise UserError(
            f'The {sampler} of train_dataloader never ends, and neither would '
            "the first epoch; use sampler=dict(type='DefaultSampler', "
            "shuffle=True), or train_cfg=dict(type='IterBasedTrainLoop', …)."
        )


def _sampler(loader: DataLoader):
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)


def _is_endless(loader: DataLoader) -> bool:
    sampler = _sampler(loader)
    most = 2 * len(sampler) + SPARE
    with isolated():
        return sum(1 for _ in islice(sampler, most)) == most


def unused_settings(runner) -> list[str]:
    """Return warnings of optimiser settings that have no or too little effect.

    Args:
        runner: The runner, with its loop, optimiser and schedulers built.
    """
    return [*_too_long(runner), *_unmatched(runner)]


def _too_long(runner) -> Iterator[str]:
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    for scheduler in _schedulers(runner.param_schedulers):
        kind = type(scheduler).__name__
        if scheduler.by_epoch and not by_epoch:
            yield (
                f'The {kind} of param_scheduler counts epochs, but the '
                'training counts iterations, so it never acts; write '
                'by_epoch=False, and its length in iterations.'
            )
            continue
        unit = 'epoch' if scheduler.by_epoch else 'iteration'
        total = runner.max_epochs if scheduler.by_epoch else runner.max_iters
        last = _last(scheduler)
        if last > total:
            yield (
                f'The {kind} of param_scheduler goes on to {unit} {last}, but '
                f'the training ends after {total}; shorten it, or train '
                'longer, unless that is meant.'
            )


def _schedulers(built: object) -> Iterator[_ParamScheduler]:
    """Yield the schedulers of one or several optimisers."""
    if isinstance(built, _ParamScheduler):
        yield built
    elif isinstance(built, (list, dict)):
        for part in built.values() if isinstance(built, dict) else built:
            yield from _schedulers(part)


def _last(scheduler: _ParamScheduler) -> int:
    """Return the epoch or iteration until which a scheduler acts."""
    length = getattr(scheduler, 'T_max', 0)
    # what happens at a milestone is seen after it
    steps = [m + 1 for m in getattr(scheduler, 'milestones', ())]
    last = scheduler.begin + max([length, 1, *steps])
    return last if scheduler.end >= NEVER else max(last, scheduler.end)


def _unmatched(runner) -> Iterator[str]:
    cfg = runner.cfg.get('optim_wrapper') or {}
    keys = (cfg.get('paramwise_cfg') or {}).get('custom_keys') or {}
    names = [name for name, _ in unwrap(runner.model).named_parameters()]
    for key in keys:
        if not any(key in f'student.{name}' for name in names):
            parts = {part for name in names for part in name.split('.')}
            yield (
                f'No weight has {key!r} in its name, so that its settings in '
                'optim_wrapper.paramwise_cfg.custom_keys have no effect'
                f'{nearest(key, sorted(parts)) or "."}'
            )
