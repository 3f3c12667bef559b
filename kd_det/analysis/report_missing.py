"""What runs did not record, and what would record it."""

from collections.abc import Iterator, Sequence

from kd_det.analysis.report_curves import Curves
from kd_det.analysis.report_runs import ReportedRun
from kd_det.engine.hooks.step_time_hook import RECORD, STEPS

Gap = tuple[str, str, str]  # part of the report, why it is missing, the fix
OF_TRAIN = ', which kd_det train adds by itself'
FILES = dict(  # what a run may lack: part of the report, and the fix
    record=(
        'what the run was: seed, versions, data, time',
        f'RunRecordHook{OF_TRAIN}, at the end of a training',
    ),
    config=('config', 'the config that MMEngine writes into the work dir'),
    predictions=(
        'scores by class, images',
        f'RunRecordHook{OF_TRAIN}, after a last validation that gives boxes '
        'with a COCO metric, or one class an image',
    ),
)


def missing(runs: Sequence[ReportedRun], curves: Curves) -> list[dict]:
    """Return the gaps that runs leave in a report.

    Args:
        runs: The runs.
        curves: What they have logged.

    Returns:
        ``what``, ``why``, ``fix`` and the letters of the ``runs``.
    """
    found: dict[Gap, list[str]] = {}
    for run in runs:
        for gap in _gaps(run, curves):
            found.setdefault(gap, []).append(run.letter)
    return [
        dict(what=what, why=why, fix=fix, runs=letters)
        for (what, why, fix), letters in found.items()
    ]


def _gaps(run: ReportedRun, curves: Curves) -> Iterator[Gap]:
    for part, why in run.lacking.items():
        what, fix = FILES[part]
        yield what, why, fix
    if not run.log.train:
        yield (
            'curves of the losses',
            'no step is logged in */vis_data/scalars.json',
            'LoggerHook with an interval shorter than the run '
            '(default_hooks.logger.interval=…) and the LocalVisBackend of '
            'the visualizer',
        )
    if len(run.log.val) < 2:
        yield (
            'curve of the score',
            ('one', 'no')[not run.log.val] + ' validation is logged',
            'validations after each epoch: train_cfg.val_interval=1',
        )
    if RECORD not in run.record:
        yield (
            'time of the parts of a step',
            f'there is no {RECORD} in run.json',
            f'StepTimeHook{OF_TRAIN}, in a run of {STEPS[0]} steps or more',
        )
    if run.distillers:
        yield from _of_distillation(run, curves)


def _of_distillation(run: ReportedRun, curves: Curves) -> Iterator[Gap]:
    if not _has(curves.gradients, run):
        yield (
            'gradient shares',
            _why(run, 'GradientShareHook'),
            'GradientShareHook in custom_hooks, in a run that reaches its '
            'first step',
        )
    norms = {k: v for k, v in curves.trends.items() if 'cka' not in k}
    if not _has(norms, run):
        yield (
            'norms and cosines',
            _why(run, 'FeatureNormHook', 'FactorCosineHook'),
            'FeatureNormHook in custom_hooks, with an interval shorter than '
            'an epoch, where a distiller has embeddings; FactorCosineHook '
            'where it has factors',
        )
    cka = {k: v for k, v in curves.trends.items() if 'cka' in k}
    if not _has(cka, run) and not run.features:
        yield (
            'CKA',
            'embed_cka is not logged and there is no features.json',
            'FeatureNormHook in custom_hooks where a distiller has '
            'embeddings; kd_det analyze CONFIG CHECKPOINT where it has '
            'feature maps',
        )


def _has(curves: dict[str, dict], run: ReportedRun) -> bool:
    return any(run.letter in by_run for by_run in curves.values())


def _why(run: ReportedRun, *hooks: str) -> str:
    there = [str(hook.get('type')) for hook in run.cfg.get('custom_hooks', ())]
    for hook in hooks:
        if any(name.endswith(hook) for name in there):
            return f'{hook} is in custom_hooks and has logged nothing'
    return f'{" or ".join(hooks)} is not in custom_hooks'
