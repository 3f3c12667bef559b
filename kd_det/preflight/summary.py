"""What a run distils, in a few lines: for the log and the doctor."""

from kd_det.distillers.base import Distiller
from kd_det.distillers.class_match import match_classes
from kd_det.distillers.describe import describe
from kd_det.errors import few
from kd_det.models import DistillModel
from kd_det.models.teacher import FrozenTeacher
from kd_det.preflight.data_report import DataReport

# Counts of a report that tell whether the data are those meant.
COUNTS = ('images', 'images used', 'objects used', 'left out', 'classes')


def summary(model: DistillModel, reports: list[DataReport]) -> list[str]:
    """Summarise a pair before its first step.

    Args:
        model: The pair.
        reports: What the checks have found in its data.

    Returns:
        Lines: how each teacher was loaded and whose classes it knows, what is
        distilled where with which loss and weight, counts of the data.
    """
    lines = []
    for name, teacher in model.teachers.items():
        lines += [
            loaded(name, teacher),
            f'  {known_classes(teacher, model.classes)}',
        ]
    if model.inheritance is not None:
        parts = ', '.join(model.inheritance.parts)
        lines.append(f'student: starts with the weights of {parts}')
    for name, distiller in model.distill.items():
        lines.append(place(name, distiller))
        lines += [
            f'  {key}: {type(loss).__name__}, weight {loss.config_weight:g}'
            for key, loss in distiller.losses.items()
        ]
    return lines + [counts(report) for report in reports]


def loaded(name: str, teacher: FrozenTeacher) -> str:
    """Return a line on a teacher's checkpoint and how it was read."""
    how = f'; its weights are {teacher.how}' if teacher.how else ''
    return f'{name}: {teacher.ckpt}{how}'


def known_classes(teacher: FrozenTeacher, ours: tuple[str, ...]) -> str:
    """Return how a teacher's classes belong to those of the run."""
    if not ours:
        return 'no classes are compared'
    if not teacher.classes:
        return (
            'its checkpoint names no classes; its labels are taken as those '
            'of the run'
        )
    match = match_classes(ours, teacher.classes)
    if match is None:
        return f'the classes of the run ({len(ours)}), in the same order'
    text = f'knows {len(match.names)} of the {len(ours)} classes of the run'
    if match.absent:
        text += f', not {few(match.absent)}'
    others = len(teacher.classes) - len(match.names)
    return text + f'; {others} of its own are not used' * bool(others)


def place(name: str, distiller: Distiller) -> str:
    """Return a line on where a distiller reads both networks."""
    where = describe(distiller)
    return f'{name}: {type(distiller).__name__}' + f', {where}' * bool(where)


def counts(report: DataReport) -> str:
    """Return a line on the contents of a data set."""
    known = [
        f'{report.facts[name]:,} {name}'
        for name in COUNTS
        if name in report.facts
    ]
    return f'{report.split} data: {", ".join(known) or "not counted"}'
