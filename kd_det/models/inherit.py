"""Inheritance: initialise a student with weights of its teacher."""

import logging
from collections.abc import Iterable

import torch
from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import Tensor, nn

from kd_det.distillers.class_match import ClassMatch, match_classes
from kd_det.errors import UserError, few, nearest
from kd_det.models.spec import read_spec
from kd_det.models.stitch import stitch
from kd_det.models.teacher import FrozenTeacher, inside

Shapes = dict[str, torch.Size]
POOR_FIT = 0.3  # mean R² below which a backbone is assumed to be untrained


class Inheritance:
    """The weights a student copies from its teacher before training.

    A weight or buffer is copied if the teacher has one with the same name and
    shape. If the class lists differ, the rows of classification layers are
    matched by class name; rows of a class unknown to the teacher keep the
    student's own initial values.

    Args:
        parts: Submodules to copy, such as ``('neck', 'bbox_head')``.
        student: The student network.
        spec: The student's config, used to find layers that depend on the
            number of classes.
        teacher: The teacher, built with ``keep=parts``.
        classes: The student's class names in label order; () if unknown.
        stitch: Whether :meth:`stitch` must be called later.

    Raises:
        UserError: A part is missing from the student or the teacher, or none
            of its tensors can be copied.
    """

    def __init__(
        self,
        parts: tuple[str, ...],
        student: nn.Module,
        spec: dict,
        teacher: FrozenTeacher,
        classes: tuple[str, ...],
        stitch: bool = False,
    ) -> None:
        self.teacher = teacher
        self.parts = parts
        self.unstitched = stitch  # until done
        self.match = match_classes(classes, teacher.classes)
        grown = {} if self.match is None else _grown(spec, len(classes))
        #: name -> rows of the student and of the teacher; None for all
        self.taken: dict[str, tuple[Tensor, Tensor] | None] = {}
        #: name of a tensor that is not copied -> reason
        self.refused: dict[str, str] = {}
        self._lines = []
        for part in parts:
            self._plan(part, student, grown)

    def __deepcopy__(self, memo: dict) -> 'Inheritance':
        return self  # shared between copies of the pair, like the teacher

    def _plan(self, part: str, student: nn.Module, grown: Shapes) -> None:
        """Find the tensors of a part to copy; add them to the table."""
        state = student.state_dict()
        for side, names in (
            ('student', state),
            ('teacher', self.teacher.names),
        ):
            if not any(inside(name, (part,)) for name in names):
                parts = dict.fromkeys(name.partition('.')[0] for name in names)
                raise UserError(
                    f'student.inherit names {part!r}, but the {side} has no '
                    'weights of that name; it has '
                    f'{", ".join(parts)}{_meant(part, names) or "."}'
                )
        own = {k: v.shape for k, v in state.items() if inside(k, (part,))}
        taken, refused = {}, {}
        for name, shape in own.items():
            try:
                taken[name] = self._rows(name, shape, grown.get(name, shape))
            except _Refused as reason:
                refused.setdefault(str(reason), []).append(name)
        if not taken:
            raise UserError(
                f'student.inherit names {part!r}, of which nothing can be '
                f'copied: {"; ".join(_reasons(part, refused, 3))}; remove it '
                'from inherit, or give the part the same widths in both '
                'networks.'
            )
        sizes = {name: shape.numel() for name, shape in own.items()}
        share = sum(sizes[k] for k in taken) / max(sum(sizes.values()), 1)
        by_class = [name for name, rows in taken.items() if rows is not None]
        notes = [f'not copied: {line}' for line in _reasons(part, refused)]
        if by_class:
            layers = ', '.join(_layers(part, by_class))
            notes.append(f'rows matched by class name: {layers}')
            if self.match.absent:
                notes.append(
                    f'classes with no counterpart: ({few(self.match.absent)})'
                )
        self._lines.append(
            (part, f'{len(taken)} of {len(own)}', f'{share:.0%}', notes)
        )
        self.taken |= taken
        self.refused |= {
            name: reason for reason, names in refused.items() for name in names
        }

    def _rows(
        self, name: str, shape: torch.Size, grown: torch.Size
    ) -> tuple[Tensor, Tensor] | None:
        """Return the rows to copy, in the student and in the teacher.

        Args:
            name: Name of a weight or buffer.
            shape: Its shape in the student.
            grown: Its shape in the student with one more class.

        Returns:
            None if the whole tensor is copied.

        Raises:
            _Refused: It cannot be copied, with the reason.
        """
        if name not in self.teacher.kept:
            raise _Refused('absent from the teacher')
        theirs = self.teacher.kept[name].shape
        if grown != shape:  # a classification layer
            rows = class_rows(name, shape, grown, self.match)
            if rows is None:
                raise _Refused('classification layer with an unknown layout')
            ours, from_theirs, expected = rows
            if theirs != expected:
                raise _Refused(_sizes(shape, theirs))
            return ours, from_theirs
        if theirs != shape:
            raise _Refused(_sizes(shape, theirs))
        return None

    @torch.no_grad()
    def apply(self, student: nn.Module) -> None:
        """Copy the weights into the student, and log the table."""
        state = student.state_dict()
        for name, rows in self.taken.items():
            source = self.teacher.kept[name].to(state[name].device)
            if rows is None:
                state[name].copy_(source)
            else:
                ours, theirs = (index.to(source.device) for index in rows)
                state[name][ours] = source[theirs].to(state[name].dtype)
        print_log(str(self), 'current')

    def stitch(self, student: nn.Module, batches: Iterable[dict]) -> None:
        """Fit the layers that read the backbone, and log how well they fit.

        Args:
            student: The student, after :meth:`apply`.
            batches: See :func:`kd_det.models.stitch.stitch`.
        """
        found = stitch(student, self.teacher, self.parts, batches)
        self.unstitched = False
        lines = [f'{name}: R² {value:.2f}' for name, value in found.items()]
        text = "Layers of the student fitted to the teacher's:"
        print_log('\n  '.join([text, *lines]), 'current')
        mean = sum(found.values()) / len(found)
        if mean < POOR_FIT:
            print_log(
                f"The student's features explain {mean:.0%} of the variance "
                "of the teacher's layer outputs; those of a pretrained "
                f'backbone explain over {POOR_FIT:.0%}: give the backbone '
                'pretrained weights, or remove student.stitch.',
                'current',
                logging.WARNING,
            )

    def __str__(self) -> str:
        width = max(len(line[0]) for line in (('part',), *self._lines))
        count = max(len(line[1]) for line in (('', 'tensors'), *self._lines))
        text = [
            'The student is initialised with weights of the teacher '
            f'{self.teacher.ckpt!r}, unless a checkpoint replaces them:',
            f'  {"part":<{width}}  {"tensors":>{count}}  values',
        ]
        for part, tensors, share, notes in self._lines:
            text.append(f'  {part:<{width}}  {tensors:>{count}}  {share:>6}')
            text += [f'  {"":<{width}}  {note}' for note in notes]
        return '\n'.join(text)


class _Refused(Exception):
    """The reason why a tensor is not copied."""


def class_rows(
    name: str, shape: torch.Size, grown: torch.Size, match: ClassMatch
) -> tuple[Tensor, Tensor, torch.Size] | None:
    """Match the rows of a classification layer to the teacher's.

    The number of rows per class is how many one more class adds. They are
    grouped by class in the box regression layer ``fc_reg`` of a box head, and
    by anchor elsewhere; a remaining last row is the background's.

    Args:
        name: Name of the weight or bias.
        shape: Its shape in the student.
        grown: Its shape in the student with one more class.
        match: The matched class lists.

    Returns:
        Rows of the student, rows of the teacher and the shape required of the
        teacher's tensor; None for an unknown layout.
    """
    if len(shape) != len(grown) or shape[1:] != grown[1:]:
        return None
    count = grown[0] - shape[0]  # rows per class
    rest = shape[0] - count * match.counts['student']
    if count < 1 or rest not in (0, count):
        return None
    by_class = 'fc_reg' in name.split('.')
    rows, sizes = [], {}
    for side, classes in match.counts.items():
        columns = classes + rest // count
        sizes[side] = count * columns
        index = match.index(side, columns).cpu()
        numbers = torch.arange(sizes[side])
        rows.append(
            numbers.view(columns, count)[index].flatten()
            if by_class
            else numbers.view(count, columns)[:, index].flatten()
        )
    return *rows, torch.Size((sizes['teacher'], *shape[1:]))


def _grown(spec: dict, num_classes: int) -> Shapes:
    """Return the shapes of the student's tensors with one more class."""
    larger = dict(spec, num_classes=num_classes + 1)
    network = MODELS.build(read_spec(larger, 'student')[0])
    return {k: v.shape for k, v in network.state_dict().items()}


def check_parts(parts: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Return the parts to inherit as a tuple, or raise a UserError."""
    fine = isinstance(parts, (tuple, list))
    if not fine or not all(isinstance(part, str) and part for part in parts):
        raise UserError(
            f'student.inherit={parts!r}; a tuple of submodule names is '
            "accepted, e.g. ('neck', 'rpn_head', 'roi_head')."
        )
    return tuple(parts)


def _meant(part: str, names: Iterable[str]) -> str:
    """Return a hint at the submodule a wrong name may mean, or ''."""
    paths = {}
    for name in names:
        words = name.split('.')
        paths |= {'.'.join(words[:i]): None for i in range(1, len(words))}
    deeper = [path for path in paths if path.endswith(f'.{part}')]
    return nearest(deeper[0] if deeper else part, paths)


def _reasons(
    part: str, refused: dict[str, list[str]], limit: int = 8
) -> list[str]:
    """Return which layers are not copied and why, grouped by reason."""
    lines = [
        f'{few(_layers(part, names), 4)} ({reason})'
        for reason, names in refused.items()
    ]
    more = len(lines) - limit
    if more > 0:
        lines[limit:] = [f'and {more} more']
    return lines


def _layers(part: str, names: list[str]) -> list[str]:
    """Return the layers of tensors, relative to their part."""
    layers = (name.rpartition('.')[0] or name for name in names)
    return [*dict.fromkeys(n.removeprefix(f'{part}.') for n in layers)]


def _sizes(ours: torch.Size, theirs: torch.Size) -> str:
    ours, theirs = (
        'x'.join(map(str, shape)) or 'one number' for shape in (ours, theirs)
    )
    return f'{ours}, in the teacher {theirs}'
