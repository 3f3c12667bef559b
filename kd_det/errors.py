"""The error a user can mend: one sentence, no traceback needed."""

import difflib
from collections.abc import Iterable, Sequence


class UserError(ValueError):
    """A wrong config, path, class list or checkpoint, found before a step.

    The message is one sentence that names the thing, what came, what is
    accepted and the fix. The tools print it without a traceback.
    """


def nearest(name: str, accepted: Iterable[str], prefix: str = '') -> str:
    """Return ``'; did you mean X?'`` for the closest accepted name, or ''.

    Args:
        name: What came.
        accepted: What it may have meant.
        prefix: Stands before the name in the answer.
    """
    match = difflib.get_close_matches(name, list(accepted), n=1)
    return f'; did you mean {prefix + match[0]!r}?' if match else ''


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return ``'1 box'`` or ``'2 boxes'``.

    Args:
        number: How many.
        noun: The name of one.
        plural: The name of several; the noun with an s without it.
    """
    return f'{number} {noun if number == 1 else plural or noun + "s"}'


def few(items: Sequence, limit: int = 8) -> str:
    """Return the first items, and how many more there are.

    Args:
        items: Names or numbers.
        limit: How many are written.
    """
    shown = ', '.join(map(str, items[:limit]))
    more = len(items) - limit
    return f'{shown} and {more} more' if more > 0 else shown
