"""ClassMatch: two class lists brought together by their names."""

import torch
from torch import Tensor, nn

from kd_det.errors import UserError, few

# Fields with a column a class, and those with a row a labelled sample.
COLUMNS = ('logits', 'region_logits', 'dense_logits')
ROWS = {
    'labels': (
        'student_logits',
        'teacher_logits',
        'cross_logits',
        'cross_boxes',
        'teacher_boxes',
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
    """Cut knowledge down to the classes that both networks know.

    Columns are those of the common classes in the student's order, then the
    background where there is one; labels count the same way. Samples of a
    class that the teacher does not know are left out, dense locations by
    ``dense_mask`` and ``dense_foreground``.

    Args:
        ours: The student's class names in label order.
        theirs: The teacher's.

    Raises:
        UserError: No name is in both lists, or one that is occurs twice.
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
                f'Student and teacher have no class in common: '
                f'({few(ours)}) and ({few(theirs)}); give a teacher of these '
                'classes, or name its classes in its own order with '
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
            # the background behind the classes, cut off where there is none
            index = torch.tensor([*column, self.counts[side]])
            self.register_buffer(side, index, persistent=False)

    def forward(self, knowledge: dict) -> dict:
        """Return the knowledge in the common classes.

        Args:
            knowledge: Fields by name, with centroids by the student's
                classes if at all.
        """
        cut = {key: self._columns(key, v) for key, v in knowledge.items()}
        if 'centroids' in cut:
            rows = len(cut['centroids'])
            cut['centroids'] = cut['centroids'][self.index('student', rows)]
        for labels, fields in ROWS.items():
            if labels not in knowledge:
                continue
            cut[labels] = self.relabel[knowledge[labels]]
            if not self.absent:
                continue
            known = cut[labels] >= 0
            if labels == 'labels' and 'dense_foreground' in cut:
                cut |= _without(cut, ~known)
            rows = known.nonzero()[:, 0]  # an accelerator is waited for, once
            cut |= {key: cut[key][rows] for key in fields if key in cut}
        return cut

    def translate(self, sample):
        """Return a data sample of the teacher's predictions as the student's.

        Args:
            sample: With ``pred_instances`` of a detector, whose boxes of
                classes that the student does not know are left out, or with
                ``pred_score`` of a classifier.
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
        # the student's embedding through the teacher's class layer
        side = 'teacher' if side == 'cross' else side
        return value.index_select(1, self.index(side, value.shape[1]))

    def index(self, side: str, columns: int) -> Tensor:
        """Return the columns of the common classes on one side.

        Args:
            side: ``'student'`` or ``'teacher'``.
            columns: How many there are; with one more than classes, the
                background's comes last.
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
    """Return how to bring two class lists together, or None for as is.

    Args:
        ours: The student's class names in label order; () if not known.
        theirs: The teacher's.
    """
    same = [_plain(a) for a in ours] == [_plain(b) for b in theirs]
    if not ours or not theirs or same:
        return None
    return ClassMatch(tuple(ours), tuple(theirs))


def _without(knowledge: dict, unknown: Tensor) -> dict:
    """Return the masks of dense locations without some on objects.

    Args:
        knowledge: With ``dense_foreground`` (M,), and ``dense_mask`` or None.
        unknown: Which of those on objects to leave out, in their order.
    """
    foreground = knowledge['dense_foreground'].clone()
    rows = foreground.nonzero()[:, 0][unknown]
    foreground[rows] = False
    mask = knowledge.get('dense_mask')
    mask = torch.ones_like(foreground) if mask is None else mask.clone()
    mask[rows] = False
    return dict(dense_foreground=foreground, dense_mask=mask)


def _check_once(ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    """Stop if a name of both lists is written twice in one of them."""
    shared = {*map(_plain, ours)} & {*map(_plain, theirs)}
    for side, names in (('student', ours), ('teacher', theirs)):
        for plain in sorted(shared):
            written = [name for name in names if _plain(name) == plain]
            if len(written) > 1:
                raise UserError(
                    f"The {side}'s classes have the name "
                    f'{" and ".join(map(repr, written))}, capitals and '
                    'underscores aside, so that it is not known which one '
                    f"the {OTHER[side]}'s belongs to; give each class a name "
                    'of its own (classes of the run, teacher.classes).'
                )


def _plain(name: str) -> str:
    return ' '.join(str(name).casefold().replace('_', ' ').split())
