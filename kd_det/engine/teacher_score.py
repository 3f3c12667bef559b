"""A teacher's score at its own image size and at the run's."""

from typing import NamedTuple

from kd_det.errors import UserError

SHARE = 0.8  # of the score at its own size; warn below it


class Score(NamedTuple):
    """A score of a teacher.

    Attributes:
        value: The score, in the metric's unit.
        text: The score in words, with the metric and the images.
    """

    value: float
    text: str


def check_floor(scores: list[Score], floor: float | None, place: str) -> None:
    """Raise if a teacher scores below the floor.

    Args:
        scores: Scores at its own image size and, if it differs, at the run's.
        floor: Minimum score; None accepts any.
        place: The hook's place in the config.

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
            "images of that size, or use a teacher for the run's image size"
        )
    raise UserError(
        f'The teacher scores {low[0].text}, below the floor of {floor:g}: '
        f'{why}, or lower the floor of its TeacherCheckHook (--cfg-options '
        f'{place}.floor=0).'
    )


def warning_of(scores: list[Score]) -> str:
    """Return a warning for a teacher that is good only at its own size, or ''.

    Args:
        scores: Scores at its own image size and, if it differs, at the run's.
    """
    own, run = scores[0], scores[-1]
    if run.value >= SHARE * own.value:
        return ''
    return (
        f'is good only at its own image size: {own.text}, but {run.text}; '
        "train with images of that size, or use a teacher for the run's "
        'image size'
    )
