"""Check that what waits for a score waits for one that validation gives."""

from collections.abc import Iterator

from mmengine.config import Config

from kd_det.errors import UserError, few, nearest

AP = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
RECALL = ('AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000')


def awaited_scores(cfg: Config) -> Iterator[tuple[str, list[str]]]:
    """Yield what waits for validation scores, and the names of these.

    Args:
        cfg: The run's config.
    """
    hooks = [*(cfg.get('default_hooks') or {}).values()]
    hooks += cfg.get('custom_hooks') or []
    for hook in filter(None, hooks):
        kind, best = str(hook.get('type')), hook.get('save_best')
        if best:
            names = [best] if isinstance(best, str) else list(best)
            yield f'{kind} with save_best={best!r}', names
        elif kind.endswith('EarlyStoppingHook'):
            yield kind, [hook['monitor']] if 'monitor' in hook else []
    schedulers = cfg.get('param_scheduler') or ()
    if isinstance(schedulers, dict):
        schedulers = [schedulers]
    for scheduler in schedulers:
        if 'ReduceOnPlateau' in str(scheduler.get('type')):
            names = [scheduler['monitor']] if 'monitor' in scheduler else []
            yield str(scheduler['type']), names


def check_scores(cfg: Config) -> None:
    """Raise if a hook or schedule waits for a score that no metric gives.

    MMEngine would skip early stopping, or fail after the first epoch. Known
    are the scores of COCO AP and of top-k accuracy, in MMEngine's own loop.

    Args:
        cfg: The run's config.

    Raises:
        UserError: It does.
    """
    given = _given(cfg.get('val_evaluator'))
    loop = (cfg.get('val_cfg') or {}).get('type', 'ValLoop')
    if not given or loop != 'ValLoop':  # others may rename scores
        return
    for waiting, names in awaited_scores(cfg):
        for name in names:
            if name not in ('auto', 'loss', *given):
                raise UserError(
                    f'The config has {waiting}, but the validation gives no '
                    f'score {name!r}; it gives {few(given)}'
                    f'{nearest(name, given) or "."}'
                )


def _given(evaluators: object) -> list[str]:
    """Return the names of all scores, or none if some are not known."""
    found = []
    for metric in evaluators if isinstance(evaluators, list) else [evaluators]:
        kind = str((metric or {}).get('type')).rpartition('.')[2]
        names = NAMES[kind](metric) if kind in NAMES else []
        if not names:
            return []
        prefix = metric.get('prefix') or PREFIXES[kind]
        found += [f'{prefix}/{name}' for name in names]
    return found


def _of_coco(metric: dict) -> list[str]:
    wanted = metric.get('metric', 'bbox')
    found = []
    for name in [wanted] if isinstance(wanted, str) else wanted:
        scores = RECALL if name.startswith('proposal') else AP
        if name == 'proposal_fast':
            numbers = metric.get('proposal_nums', (100, 300, 1000))
            found += [f'AR@{number}' for number in numbers]
            continue
        if metric.get('metric_items'):
            scores = metric['metric_items']
        start = '' if name.startswith('proposal') else f'{name}_'
        found += [start + score for score in scores]
    return [] if metric.get('classwise') else found


def _of_accuracy(metric: dict) -> list[str]:
    wanted = metric.get('topk', (1,))
    numbers = [wanted] if isinstance(wanted, int) else wanted
    return [] if metric.get('thrs') else [f'top{k}' for k in numbers]


NAMES = dict(
    CocoMetric=_of_coco,
    FasterCocoMetric=_of_coco,
    Accuracy=_of_accuracy,
    CrossEntropy=lambda metric: ['cross_entropy'],
)
PREFIXES = dict(
    CocoMetric='coco',
    FasterCocoMetric='coco',
    Accuracy='accuracy',
    CrossEntropy='eval',
)
