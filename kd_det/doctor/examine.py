"""Check a run before it starts: ``kd_det doctor``."""

from pathlib import Path

from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import HOOKS

from kd_det.analysis.pictures import swaps
from kd_det.config import set_seed
from kd_det.datasets.chosen import classes_of
from kd_det.doctor.contact_sheet import draw_sheet
from kd_det.doctor.findings import Section, table
from kd_det.doctor.first_steps import FirstSteps
from kd_det.engine.hooks.teacher_check_hook import claimed_score
from kd_det.engine.teacher_score import warning_of
from kd_det.errors import UserError, few
from kd_det.models import DistillModel
from kd_det.precompute.short_run import MADE_FIRST, short_run
from kd_det.preflight.built import check_built
from kd_det.preflight.data_report import DataReport
from kd_det.preflight.summary import known_classes, loaded, place
from kd_det.preflight.unbuilt import check_unbuilt

KEPT = (*MADE_FIRST, 'TeacherCheckHook', 'StepTimeHook', 'LossScheduleHook')
USUAL = 2.0  # gradient share above which a loss dominates the task
FAINT = 0.02  # gradient share below which a loss has hardly any effect


def examine(
    cfg: Config, sheet: str | Path, images: int = 50, seed: int = 0
) -> list[Section]:
    """Check a config, train a few steps of it and report the findings.

    Nothing is kept except the sheet and files that a run also creates: class
    means and auto-encoders.

    Args:
        cfg: A config from :func:`kd_det.api.launch.prepare`.
        sheet: PNG to write: augmented training images with boxes.
        images: Validation images to evaluate a teacher on.
        seed: Random seed.

    Returns:
        The findings; if the run cannot continue, the last section has the
        problem.
    """
    set_seed(cfg, seed)
    sections = [Section('Data')]
    try:
        _, reports = check_unbuilt(cfg)
        sections = [_files(reports), Section('Start')]
        steps = FirstSteps()
        hooks = [*map(HOOKS.build, cfg.get('custom_hooks') or ())]
        short_run(
            _with_checks(cfg, images),
            steps,
            1,
            KEPT,
            lambda runner: check_built(runner, hooks),
        )
    except (UserError, FileNotFoundError) as error:
        sections[-1].problems.append(str(error))
        return sections
    sections = [_data(reports, steps, sheet)]
    if isinstance(steps.model, DistillModel):
        sections += [
            _preprocessing(steps.model),
            _teachers(steps),
            _distillation(steps),
        ]
    return [*sections, _step(steps), _costs(steps)]


def _with_checks(cfg: Config, images: int) -> Config:
    """Return the config with the hooks that the doctor needs."""
    cfg = cfg.copy()
    hooks = [dict(hook) for hook in cfg.get('custom_hooks') or []]
    for hook in hooks:
        if str(hook['type']).endswith('TeacherCheckHook'):
            hook['num_images'] = images
    cfg.custom_hooks = [*hooks, dict(type='kd_det.StepTimeHook')]
    return cfg


def _data(
    reports: list[DataReport], steps: FirstSteps, sheet: str | Path
) -> Section:
    dataset = steps.dataset
    classes = classes_of(dataset)
    section = _files(reports)
    shown = draw_sheet(dataset, steps.model, classes, sheet)
    section.lines += [
        f'{len(dataset)} training images',
        f'{len(classes)} classes: {few(classes, 40)}',
        f'contact sheet of augmented images: {sheet}',
    ]
    section.facts = dict(
        images=len(dataset),
        classes=list(classes),
        sheet=str(sheet),
        files={report.source: report.facts for report in reports},
        **shown,
    )
    return section


def _files(reports: list[DataReport]) -> Section:
    """Report what is known of the data before a run."""
    section = Section('Data', [*map(str, reports)])
    for report in reports:
        section.warnings += [f'{report.split}: {w}' for w in report.warnings]
    return section


def _preprocessing(model: DistillModel) -> Section:
    """Compare the networks' image normalisation."""
    section = Section('Preprocessing')
    ours = _normalisation(model.student.data_preprocessor)
    for name, teacher in model.teachers.items():
        theirs = _normalisation(teacher.model.data_preprocessor)
        section.lines += [
            f'{key}: student {ours[key]}, {name} {theirs[key]}; each network '
            'gets its own'
            for key in ours
            if ours[key] != theirs[key]
        ] or [f'student and {name} are the same']
        section.facts[name] = dict(student=ours, teacher=theirs)
    return section


def _normalisation(preprocessor: BaseDataPreprocessor) -> dict[str, object]:
    found: dict[str, object] = {'swaps BGR and RGB': swaps(preprocessor)}
    for key in ('mean', 'std'):
        value = getattr(preprocessor, key, None)
        if value is not None:
            value = [round(v, 3) for v in value.flatten().tolist()]
        found[key] = value
    return found


def _teachers(steps: FirstSteps) -> Section:
    section = Section('Teacher')
    for name, teacher in steps.model.teachers.items():
        scores = steps.scores.get(teacher.ckpt, [])
        section.lines.append(loaded(name, teacher))
        known = known_classes(teacher, steps.model.classes)
        section.lines.append(f'  {known}')
        section.lines += [f'  {score.text}' for score in scores]
        claim = claimed_score(teacher.source)
        section.lines += [f'  its metafile claims {claim}'] * bool(claim)
        if not scores:
            section.warnings.append(
                f'{name} is not evaluated; add dict(type='
                "'kd_det.TeacherCheckHook') to custom_hooks."
            )
        elif warning := warning_of(scores):
            section.warnings.append(f'{name} {warning}.')
        section.facts[name] = dict(
            checkpoint=teacher.ckpt, scores=[score.value for score in scores]
        )
    if steps.moved:
        section.problems.append(
            f'The teacher changed within {steps.last} steps: '
            f'{few(steps.moved)}; a layer of it ignores eval() or writes to '
            'its own buffers, so its outputs change from step to step.'
        )
    else:
        section.lines.append(
            f'unchanged, bit by bit, after {steps.last} steps'
        )
    return section


def _distillation(steps: FirstSteps) -> Section:
    """Report what is distilled where, and the gradient shares."""
    section = Section('Distillation')
    model = steps.model
    rows = [('loss', 'of', 'weight', 'value', 'share', 'cosine')]
    for name, distiller in model.distill.items():
        section.lines.append(place(name, distiller))
        for field, connector in distiller.connectors.items():
            section.lines.append(f'  {field}: {type(connector).__name__}')
        section.lines += [
            f'  {field}: {_short(shape)}'
            for field, shape in steps.shapes.get(name, {}).items()
        ]
    for key, loss in model.learner()[1].items():
        share = steps.shares.get(key)
        rows.append(
            (
                key,
                type(loss).__name__,
                f'{loss.config_weight:g}',
                f'{steps.losses[key]:.3g}',
                f'{share.share:.3g}' if share else '-',
                f'{share.cosine:.2f}' if share else '-',
            )
        )
        section.facts[key] = dict(
            type=type(loss).__name__,
            weight=loss.config_weight,
            value=steps.losses[key],
            share=share and share.share,
            cosine=share and share.cosine,
        )
        section.warnings += _of_share(key, loss, share)
    if len(rows) > 1:
        section.lines += table(rows)
    else:
        section.lines.append('no loss; the student inherits weights')
    return section


def _of_share(key: str, loss, share) -> list[str]:
    if share is None or not share.usable:
        return [
            f'{key} has no gradient at any weight of the student that the '
            'task trains; check its weight, its schedule and its connectors.'
        ]
    better = f'kd_det calibrate finds a weight (now {loss.config_weight:g}).'
    if share.share > USUAL:
        return [
            f'{key} has {share.share:.3g} times the gradient of the '
            f"student's own losses; {better}"
        ]
    if share.share < FAINT:
        return [
            f'{key} has hardly any effect: its gradient is {share.share:.2g} '
            f"times that of the student's own losses; {better}"
        ]
    return []


def _short(shape: list) -> str:
    if shape and isinstance(shape[0], list):
        return ', '.join(map(_short, shape))
    return '(' + ', '.join(map(str, shape)) + ')'


def _step(steps: FirstSteps) -> Section:
    section = Section(f'Step {steps.last}', facts=dict(losses=steps.losses))
    section.warnings += steps.unused
    section.lines = [f'{k}: {v:.4g}' for k, v in steps.losses.items()]
    if steps.not_finite:
        section.problems.append(
            f'Not finite after {steps.last} steps: {few(steps.not_finite)}; '
            'lower the learning rate or the loss weight, or clip gradients.'
        )
    else:
        section.lines.append('losses, gradients and weights are finite')
    return section


def _costs(steps: FirstSteps) -> Section:
    parts = dict(steps.step_seconds)
    whole = parts.pop('whole')
    hours = whole * steps.steps / 3600
    lines = [
        f'a step takes {whole:.3g} s'
        + ''.join(f', {name} {s / whole:.0%}' for name, s in parts.items())
    ]
    lines.append(f'a training run of {steps.steps} steps takes {hours:.2g} h')
    lines.append(f'peak memory {steps.memory / 2**30:.1f} GiB')
    return Section(
        'Costs',
        lines,
        facts=dict(
            step_seconds=steps.step_seconds,
            steps=steps.steps,
            hours=hours,
            peak_bytes=steps.memory,
        ),
    )
