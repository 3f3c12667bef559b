"""Check that the loops of a config are whole, and do something."""

from mmengine.config import Config

from kd_det.errors import UserError
from kd_det.preflight.score_names import awaited_scores

# keys of which MMEngine needs all or none
PARTS = {
    'train': ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    'val': ('val_dataloader', 'val_cfg', 'val_evaluator'),
    'test': ('test_dataloader', 'test_cfg', 'test_evaluator'),
}
VERBS = dict(train='train', val='validate', test='test')


def check_loops(cfg: Config, needed: str) -> None:
    """Raise if a loop lacks a part, or a part needs a missing loop.

    Args:
        cfg: The run's config.
        needed: The loop that will run: ``'train'`` or ``'test'``.

    Raises:
        UserError: A part is missing.
    """
    for split, keys in PARTS.items():
        there = [key for key in keys if cfg.get(key) is not None]
        absent = [key for key in keys if cfg.get(key) is None]
        if absent and split == needed:
            raise UserError(
                f'The config cannot {split}, since it has no '
                f'{" and no ".join(absent)}; {_fix(absent, split)}.'
            )
        if absent and there:
            raise UserError(
                f'The config has {" and ".join(there)}, but no '
                f'{" and no ".join(absent)}; add it, or set all three to '
                f'None in order not to {VERBS[split]}.'
            )
        if there and not absent:
            _check_all_scored(cfg, split)
    if needed == 'train':
        _check_length(cfg.train_cfg)
        _check_optimiser(cfg.optim_wrapper)
        if not cfg.get('val_cfg') or _begins_too_late(cfg.train_cfg):
            _check_waiting(cfg)


def _check_all_scored(cfg: Config, split: str) -> None:
    """Raise if an evaluation leaves images out, or never ends."""
    if split == 'train':
        return
    loader = cfg[f'{split}_dataloader']
    if loader.get('drop_last') and loader.get('batch_size', 1) > 1:
        raise UserError(
            f'{split}_dataloader has drop_last=True, so that the images of '
            'the last batch may not be scored; set it to False.'
        )
    sampler = str((loader.get('sampler') or {}).get('type'))
    if 'Infinite' in sampler:
        raise UserError(
            f'{split}_dataloader has the sampler {sampler}, which never ends; '
            "use sampler=dict(type='DefaultSampler', shuffle=False)."
        )


def _check_length(train_cfg: dict) -> None:
    """Raise if a training has no step."""
    for key in ('max_epochs', 'max_iters', 'val_interval'):
        value = train_cfg.get(key)
        if isinstance(value, (int, float)) and value < 1:
            raise UserError(
                f'train_cfg has {key}={value}; set it to 1 or more.'
            )


def _begins_too_late(train_cfg: dict) -> bool:
    """Return whether a training ends before its first validation."""
    length = train_cfg.get('max_epochs') or train_cfg.get('max_iters') or 0
    return train_cfg.get('val_begin', 1) > length > 0


def _check_optimiser(cfg: dict) -> None:
    """Raise if the optimiser cannot change a weight."""
    largest = (cfg.get('clip_grad') or {}).get('max_norm')
    if isinstance(largest, (int, float)) and largest <= 0:
        raise UserError(
            f'optim_wrapper.clip_grad.max_norm={largest} leaves no gradient; '
            'set a positive number, or clip_grad=None.'
        )
    if (cfg.get('optimizer') or {}).get('lr') == 0:
        raise UserError(
            'optim_wrapper.optimizer.lr=0 changes no weight; set a positive '
            'number.'
        )


def _fix(absent: list[str], split: str) -> str:
    if split == 'train':
        return 'give a training config'
    lines = [
        "test_cfg = dict(type='TestLoop')"
        if key == 'test_cfg'
        else f'{key} = {key.replace("test", "val")}'
        for key in absent
    ]
    return f'to test on the validation data, write {"; ".join(lines)}'


def _check_waiting(cfg: Config) -> None:
    """Raise if something needs validation scores but there are none."""
    for waiting, _ in awaited_scores(cfg):
        raise UserError(
            f'The config has {waiting}, which waits for a validation score, '
            'but the training has none; add val_dataloader, val_cfg and '
            'val_evaluator, with train_cfg.val_begin within the training, or '
            'take it out.'
        )
