"""ClassMatch: matches two class lists by name."""

import torch
from torch import Tensor, nn

from kd_det.errors import UserError, few
from kd_det.losses.base import is_soft

# Fields with one column per class, and with one row per labelled sample.
COLUMNS = ('logits', 'region_logits', 'dense_logits')
ROWS = {
    'labels': (
        'student_logits',
        'teacher_logits',
        'cross_logits',
        'cross_boxes',
        'teacher_boxes',
        'student_deltas',
        'teacher_deltas',
        'target_deltas',
        'student_embed',
        'teacher_embed',
        'student_corners',
        'teacher_corners',
        'foreground',
        'rois',
        'labels',
    ),
    'region_labels': (
        'student_region_logits',
        'teacher_region_logits',
        'region_mask',
        'region_labels',
    ),
}

OTHER = dict(student='teacher', teacher='student')


class ClassMatch(nn.Module):
    """Restrict fields to the classes known to both networks.

    The columns are the common classes in the student's order, followed by
    background if there is one; labels are converted accordingly. Samples of
    classes unknown to the teacher are dropped; for dense locations this is
    done through ``dense_mask`` and ``dense_foreground``.

    Args:
        ours: The student's class names, in label order.
        theirs: The teacher's class names, in label order.

    Raises:
        UserError: There is no common name, or a common name occurs twice.
    """

    def __init__(self, ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
        super().__init__()
        _check_once(ours, theirs)
        table = {_plain(name): i for i, name in enumerate(theirs)}
        pairs = [
            (i, table[_plain(name)])
            for i, name in enumerate(ours)
            if _plain(name) in table
        ]
        if not pairs:
            raise UserError(
                f'Student and teacher have no class in common: ({few(ours)}) '
                f'and ({few(theirs)}); use a teacher with these classes, or '
                'list its classes in its own order with '
                "teacher.classes=('…', …)."
            )
        self.names = tuple(ours[i] for i, _ in pairs)
        self.pairs = tuple((ours[i], theirs[j]) for i, j in pairs)
        self.absent = tuple(name for name in ours if name not in {*self.names})
        self.counts = dict(student=len(ours), teacher=len(theirs))
        relabel = torch.full((len(ours) + 1,), -1)
        relabel[[i for i, _ in pairs]] = torch.arange(len(pairs))
        relabel[-1] = len(pairs)  # the background
        self.register_buffer('relabel', relabel, persistent=False)
        to_teacher = torch.full((len(ours),), -1)
        to_ours = torch.full((len(theirs) + 1,), -1)
        to_ours[-1] = len(ours)  # the background
        for i, j in pairs:
            to_teacher[i], to_ours[j] = j, i
        self.register_buffer('to_teacher', to_teacher, persistent=False)
        self.register_buffer('to_ours', to_ours, persistent=False)
        for side, column in zip(('student', 'teacher'), zip(*pairs)):
            # background after the classes, dropped if there is none
            index = torch.tensor([*column, self.counts[side]])
            self.register_buffer(side, index, persistent=False)

    def forward(self, knowledge: dict) -> dict:
        """Return the fields restricted to the common classes.

        Args:
            knowledge: Fields by name; ``centroids`` and ``class_norms``, if
                any, in the order of the student's classes.

        Raises:
            UserError: Labels are mixed and the teacher lacks a class.
        """
        cut = {key: self._columns(key, v) for key, v in knowledge.items()}
        for key in {'centroids', 'class_norms'} & {*cut}:
            cut[key] = cut[key][self.index('student', len(cut[key]))]
        for labels, fields in ROWS.items():
            if labels not in knowledge:
                continue
            if is_soft(knowledge[labels]):
                cut[labels] = self._mixed(knowledge[labels])
                continue
            cut[labels] = self.relabel[knowledge[labels]]
            if not self.absent:
                continue
            known = cut[labels] >= 0
            if labels == 'labels' and 'dense_foreground' in cut:
                cut |= _without(cut, ~known)
            rows = known.nonzero()[:, 0]  # synchronises once
            cut |= {key: cut[key][rows] for key in fields if key in cut}
        return cut

    def _mixed(self, labels: Tensor) -> Tensor:
        """Return the soft labels (N, K) of mixed images in our order."""
        if self.absent:
            raise UserError(
                'The labels of mixed images (mixup, CutMix) cannot be '
                'restricted to the classes that the teacher knows; it lacks '
                f'{few(self.absent)}: use a teacher with all classes, or '
                'remove the mixing.'
            )
        return labels.index_select(1, self.index('student', labels.shape[1]))

    def translate(self, sample):
        """Convert the teacher's predictions to the student's classes.

        Args:
            sample: Data sample with ``pred_instances`` of a detector, from
                which boxes of classes unknown to the student are removed, or
                with ``pred_score`` of a classifier.
        """
        to_ours = self.to_ours.cpu()
        if 'pred_instances' in sample:
            found = sample.pred_instances
            labels = to_ours.to(found.labels.device)[found.labels]
            sample.pred_instances = found[labels >= 0]
            sample.pred_instances.labels = labels[labels >= 0]
        if 'pred_score' in sample:
            theirs = sample.pred_score
            known = to_ours[:-1] >= 0
            ours = theirs.new_zeros(self.counts['student'])
            ours[to_ours[:-1][known]] = theirs[known]
            sample.set_pred_score(ours).set_pred_label(ours.argmax(0, True))
        return sample

    def _columns(self, key: str, value: Tensor) -> Tensor:
        side, _, field = key.partition('_')
        if field not in COLUMNS:
            return value
        # the student's embedding through the teacher's classification layer
        side = 'teacher' if side == 'cross' else side
        return value.index_select(1, self.index(side, value.shape[1]))

    def index(self, side: str, columns: int) -> Tensor:
        """Return the columns of the common classes in one network.

        Args:
            side: ``'student'`` or ``'teacher'``.
            columns: Number of columns; if there is one more than classes, the
                last is background.
        """
        index = getattr(self, side)
        return index if columns > self.counts[side] else index[:-1]

    def __str__(self) -> str:
        lines = [f'{ours} <- {theirs}' for ours, theirs in self.pairs]
        lines += [f'{name} <- nothing: left out' for name in self.absent]
        return '\n'.join(lines)


def match_classes(
    ours: tuple[str, ...], theirs: tuple[str, ...]
) -> ClassMatch | None:
    """Return the match of two class lists, or None if they are equal.

    Args:
        ours: The student's class names in label order; () if unknown.
        theirs: The teacher's class names, in label order.
    """
    same = [_plain(a) for a in ours] == [_plain(b) for b in theirs]
    if not ours or not theirs or same:
        return None
    return ClassMatch(tuple(ours), tuple(theirs))


def _without(knowledge: dict, unknown: Tensor) -> dict:
    """Return the dense masks without some of the foreground locations.

    Args:
        knowledge: Fields with ``dense_foreground`` (M,), and ``dense_mask`` or
            None.
        unknown: Mask over the foreground locations to remove.
    """
    foreground = knowledge['dense_foreground'].clone()
    rows = foreground.nonzero()[:, 0][unknown]
    foreground[rows] = False
    mask = knowledge.get('dense_mask')
    mask = torch.ones_like(foreground) if mask is None else mask.clone()
    mask[rows] = False
    return dict(dense_foreground=foreground, dense_mask=mask)


def _check_once(ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    """Raise if a common name occurs twice in one of the lists."""
    shared = {*map(_plain, ours)} & {*map(_plain, theirs)}
    for side, names in (('student', ours), ('teacher', theirs)):
        for plain in sorted(shared):
            written = [name for name in names if _plain(name) == plain]
            if len(written) > 1:
                raise UserError(
                    f"The {side}'s classes contain "
                    f'{" and ".join(map(repr, written))}, which are equal '
                    'except for case and underscores, so the match with the '
                    f"{OTHER[side]}'s class is ambiguous; use unique class "
                    'names (classes of the run, teacher.classes).'
                )


def _plain(name: str) -> str:
    return ' '.join(str(name).casefold().replace('_', ' ').split())
