"""Data files shipped with the package: the configs."""

import os
from pathlib import Path

from kd_det.errors import UserError, nearest

PREFIX = 'kd_det::'
PACKAGE = Path(__file__).parent


def shipped(name: str) -> Path:
    """Return the path of a shipped file or folder.

    It is in ``kd_det/.mim`` of an installed package, as in OpenMMLab's
    packages, or in the root of the repository.

    Args:
        name: ``'configs'`` or ``'constraints.txt'``.

    Raises:
        UserError: It is missing in this installation.
    """
    for folder in (PACKAGE / '.mim', PACKAGE.parent):
        if (folder / name).exists():
            return folder / name
    raise UserError(
        f'This installation of kd_det has no {name} (looked in '
        f'{PACKAGE / ".mim"}); build it from a complete clone and install it '
        'again.'
    )


def config_path(name: str) -> str:
    """Return the path of the config ``kd_det::NAME``.

    Args:
        name: ``'kd_det::'`` and a path below ``configs``; any other string is
            returned unchanged.

    Raises:
        UserError: kd_det has no such config.
    """
    if not name.startswith(PREFIX):
        return name
    inner = name.removeprefix(PREFIX)
    folder = shipped('configs')
    plain = os.path.normpath(inner)
    inside = not plain.startswith(('..', '/'))
    if inside and os.path.isfile(folder / plain):
        return str(folder / plain)
    known = [p.relative_to(folder).as_posix() for p in folder.rglob('*.py')]
    same = [k for k in known if k.rpartition('/')[2] == inner]  # less a folder
    hint = nearest(inner, same or known, PREFIX)
    if same:
        hint = f'; did you mean {PREFIX + same[0]!r}?'
    raise UserError(
        f'kd_det has no config {inner!r}{hint or f"; see {folder}."}'
    )
