"""Inheritance: a student begins with the weights of its teacher."""

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
POOR_FIT = 0.3  # mean R², below which a backbone is taken for untrained


class Inheritance:
    """What a student takes over from its teacher before it is trained.

    A weight or buffer is taken where the teacher has one of the same name
    and shape. Where the class lists differ, the rows of class layers are
    matched by class name; the rows of a class that the teacher does not know
    keep the student's own initial values.

    Args:
        parts: Sub-modules to take, such as ``('neck', 'bbox_head')``.
        student: The student network.
        spec: Its config, to find out which layers depend on the classes.
        teacher: Built with ``keep=parts``.
        classes: The student's class names in label order; () if not known.
        stitch: Whether :meth:`stitch` must follow.

    Raises:
        UserError: A part is missing from the student or the teacher, or
            nothing of it fits.
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
        self.unstitched = stitch  # until it is done
        self.match = match_classes(classes, teacher.classes)
        grown = {} if self.match is None else _grown(spec, len(classes))
        #: name -> rows of the student and of the teacher; None for all
        self.taken: dict[str, tuple[Tensor, Tensor] | None] = {}
        #: name of what is not taken -> why
        self.refused: dict[str, str] = {}
        self._lines = []
        for part in parts:
            self._plan(part, student, grown)

    def __deepcopy__(self, memo: dict) -> 'Inheritance':
        return self  # copies of the pair share it, as they do the teacher

    def _plan(self, part: str, student: nn.Module, grown: Shapes) -> None:
        """Find out what fits of a part; note it for the table."""
        state = student.state_dict()
        for side, names in (
            ('student', state),
            ('teacher', self.teacher.names),
        ):
            if not any(inside(name, (part,)) for name in names):
                parts = dict.fromkeys(name.partition('.')[0] for name in names)
                raise UserError(
                    f'student.inherit names {part!r}, and the {side} has no '
                    f'weights of that name; it has {", ".join(parts)}'
                    f'{_meant(part, names) or "."}'
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
                f'taken: {"; ".join(_reasons(part, refused, 3))}; take it '
                'out of inherit, or give both networks a part of the same '
                'widths.'
            )
        sizes = {name: shape.numel() for name, shape in own.items()}
        share = sum(sizes[k] for k in taken) / max(sum(sizes.values()), 1)
        by_class = [name for name, rows in taken.items() if rows is not None]
        notes = [f'not taken: {line}' for line in _reasons(part, refused)]
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
        """Return the rows to copy in the student and in the teacher.

        Args:
            name: Of a weight or buffer.
            shape: In the student.
            grown: In the same student with one class more.

        Returns:
            None where the whole tensor is copied.

        Raises:
            _Refused: It cannot be taken, and why.
        """
        if name not in self.teacher.kept:
            raise _Refused('absent from the teacher')
        theirs = self.teacher.kept[name].shape
        if grown != shape:  # a class layer
            rows = class_rows(name, shape, grown, self.match)
            if rows is None:
                raise _Refused('class layer of an unknown layout')
            ours, from_theirs, expected = rows
            if theirs != expected:
                raise _Refused(_sizes(shape, theirs))
            return ours, from_theirs
        if theirs != shape:
            raise _Refused(_sizes(shape, theirs))
        return None

    @torch.no_grad()
    def apply(self, student: nn.Module) -> None:
        """Copy the weights into the student and log the table."""
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
        """Fit the layers that read the backbone and log how well that went.

        Args:
            student: It has inherited.
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
                f'The features of the student explain {mean:.0%} of what the '
                "teacher's layers give, those of a pretrained backbone over "
                f'{POOR_FIT:.0%}: give the backbone pretrained weights, or '
                'take student.stitch out.',
                'current',
                logging.WARNING,
            )

    def __str__(self) -> str:
        width = max(len(line[0]) for line in (('part',), *self._lines))
        count = max(len(line[1]) for line in (('', 'tensors'), *self._lines))
        text = [
            'The student begins with weights of the teacher '
            f'{self.teacher.ckpt!r}, unless a checkpoint replaces them:',
            f'  {"part":<{width}}  {"tensors":>{count}}  values',
        ]
        for part, tensors, share, notes in self._lines:
            text.append(f'  {part:<{width}}  {tensors:>{count}}  {share:>6}')
            text += [f'  {"":<{width}}  {note}' for note in notes]
        return '\n'.join(text)


class _Refused(Exception):
    """Why a tensor is not taken."""


def class_rows(
    name: str, shape: torch.Size, grown: torch.Size, match: ClassMatch
) -> tuple[Tensor, Tensor, torch.Size] | None:
    """Return which rows of a class layer belong to which of the teacher's.

    A layer has as many rows a class as one class more adds. They lie class
    by class in the box layer ``fc_reg`` of a box head, and anchor by anchor
    elsewhere; a row that is left over is the background's, the last.

    Args:
        name: Of the weight or bias.
        shape: In the student.
        grown: In the same student with one class more.
        match: The class lists of both.

    Returns:
        Rows of the student, rows of the teacher and the shape that the
        teacher's must have; None for a layout that is not known.
    """
    if len(shape) != len(grown) or shape[1:] != grown[1:]:
        return None
    count = grown[0] - shape[0]  # rows a class
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
    """Return the shapes of the student's tensors with one class more."""
    larger = dict(spec, num_classes=num_classes + 1)
    network = MODELS.build(read_spec(larger, 'student')[0])
    return {k: v.shape for k, v in network.state_dict().items()}


def check_parts(parts: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Return the parts to inherit as a tuple, or raise a UserError."""
    fine = isinstance(parts, (tuple, list))
    if not fine or not all(isinstance(part, str) and part for part in parts):
        raise UserError(
            f'student.inherit={parts!r}; a tuple of names of sub-modules is '
            "accepted, e.g. ('neck', 'rpn_head', 'roi_head')."
        )
    return tuple(parts)


def _meant(part: str, names: Iterable[str]) -> str:
    """Return which sub-module a wrong name may mean, for a sentence."""
    paths = {}
    for name in names:
        words = name.split('.')
        paths |= {'.'.join(words[:i]): None for i in range(1, len(words))}
    deeper = [path for path in paths if path.endswith(f'.{part}')]
    return nearest(deeper[0] if deeper else part, paths)


def _reasons(
    part: str, refused: dict[str, list[str]], limit: int = 8
) -> list[str]:
    """Return what is not taken and why, layers of one reason together."""
    lines = [
        f'{few(_layers(part, names), 4)} ({reason})'
        for reason, names in refused.items()
    ]
    more = len(lines) - limit
    if more > 0:
        lines[limit:] = [f'and {more} more']
    return lines


def _layers(part: str, names: list[str]) -> list[str]:
    """Return the layers that tensors belong to, relative to their part."""
    layers = (name.rpartition('.')[0] or name for name in names)
    return [*dict.fromkeys(n.removeprefix(f'{part}.') for n in layers)]


def _sizes(ours: torch.Size, theirs: torch.Size) -> str:
    ours, theirs = (
        'x'.join(map(str, shape)) or 'one number' for shape in (ours, theirs)
    )
    return f'{ours}, in the teacher {theirs}'
