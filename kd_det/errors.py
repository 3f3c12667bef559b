"""Errors that the user can fix; printed without a traceback."""

import difflib
from collections.abc import Iterable, Sequence


class UserError(ValueError):
    """A wrong config, path, class list or checkpoint, found before training.

    The message is one sentence with the object, the value, what is accepted
    and the fix. The tools print it without a traceback.
    """


def nearest(name: str, accepted: Iterable[str], prefix: str = '') -> str:
    """Return ``'; did you mean X?'`` for the closest accepted name, or ''.

    Args:
        name: The unknown name.
        accepted: The accepted names.
        prefix: Prefix of the name in the result.
    """
    match = difflib.get_close_matches(name, list(accepted), n=1)
    return f'; did you mean {prefix + match[0]!r}?' if match else ''


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return ``'1 box'`` or ``'2 boxes'``.

    Args:
        number: The count.
        noun: The singular.
        plural: The plural; default: the noun with an s.
    """
    return f'{number} {noun if number == 1 else plural or noun + "s"}'


def few(items: Sequence, limit: int = 8) -> str:
    """Join the first items and mention how many more there are.

    Args:
        items: Names or numbers.
        limit: Maximum number of items.
    """
    shown = ', '.join(map(str, items[:limit]))
    more = len(items) - limit
    return f'{shown} and {more} more' if more > 0 else shown
