"""Class names as every part compares them: text, each once, in order."""

from numbers import Real

from kd_det.errors import UserError


def plain_names(names: object, where: str = 'classes') -> tuple[str, ...]:
    """Return class names as text.

    Numbers are names too, as YAML and ``--cfg-options`` read ``0,1,2``.

    Args:
        names: In label order; a text is one name.
        where: Where they stand, for messages.

    Raises:
        UserError: They are no list, or one is no name or written twice.
    """
    if isinstance(names, str):
        names = (names,)
    if not isinstance(names, (tuple, list)):
        raise UserError(
            f'{where}={names!r}; a tuple of names in label order is accepted, '
            "such as ('cat', 'dog')."
        )
    for name in names:
        if isinstance(name, bool):
            raise UserError(
                f'{where} has {name!r}, which YAML makes of yes, no, on and '
                'off; write the name in quotes.'
            )
        if not isinstance(name, (str, Real)):
            raise UserError(f'{where} has {name!r}; write a name, as text.')
    plain = tuple(map(str, names))
    twice = [name for name in plain if plain.count(name) > 1]
    if twice:
        raise UserError(
            f'{where} has {twice[0]!r} more than once; give each class a '
            'name of its own.'
        )
    return plain


def make_plain(names_of: dict | None, where: str = 'classes') -> None:
    """Make the ``classes`` of a config text, in place.

    Args:
        names_of: A config that may have them; a text is left alone, since it
            may name a file.
        where: Where they stand, for messages.

    Raises:
        UserError: See :func:`plain_names`.
    """
    names = (names_of or {}).get('classes')
    if names is None or isinstance(names, str):
        return
    plain = plain_names(names, where)
    if not plain:
        raise UserError(f'{where}={names!r}; write at least one name.')
    names_of['classes'] = plain
