"""What a teacher scores at its own image size and at that of the run."""

from typing import NamedTuple

from kd_det.errors import UserError

SHARE = 0.8  # of the score at its own size; below it a teacher is told of


class Score(NamedTuple):
    """A score of a teacher.

    Attributes:
        value: In the metric's unit.
        text: The same in words, with the metric and the images.
    """

    value: float
    text: str


def check_floor(scores: list[Score], floor: float | None, place: str) -> None:
    """Raise if a teacher scores below the floor.

    Args:
        scores: At its own image size and, if it differs, at that of the run.
        floor: Least accepted score; None accepts any.
        place: Of the floor in the config.

    Raises:
        UserError: One of the scores is below the floor.
    """
    low = [s for s in scores if floor is not None and s.value < floor]
    if not low:
        return
    own = scores[0]
    if low[0] is own:
        why = 'check its checkpoint, class order and preprocessing'
    else:
        why = (
            f'at its own image size it scores {own.text}, so train with '
            'images of that size, or take a teacher for those of the run'
        )
    raise UserError(
        f'The teacher scores {low[0].text}, under the floor of {floor:g}: '
        f'{why}, or lower the floor (--cfg-options {place}.floor=0).'
    )


def warning_of(scores: list[Score]) -> str:
    """Return a warning of a teacher that is good at its own size only, or ''.

    Args:
        scores: At its own image size and, if it differs, at that of the run.
    """
    own, run = scores[0], scores[-1]
    if run.value >= SHARE * own.value:
        return ''
    return (
        f'is good at its own image size only: {own.text}, but {run.text}; '
        'train with images of its size, or take a teacher for those of the run'
    )
