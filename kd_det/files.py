"""Write files so that a kill or a full disk leaves the old one whole."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from kd_det.errors import UserError


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary sibling of ``path`` that replaces it on success.

    Of a symbolic link the target is replaced. What exists and is no regular
    file, such as a pipe or a device, is written to directly.

    Args:
        path: The file to write; its folder is made when missing.

    Yields:
        A binary file. When the block ends it is synced and renamed; when
        the block raises it is deleted and ``path`` is as it was.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, 'wb') as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # cut, since a name of 255 bytes is the longest that most disks take
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f'.{path.name[:40]}.'
    )
    try:
        with os.fdopen(handle, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def check_output(path: str | Path, option: str = '--out') -> None:
    """Stop, before the work, if a file cannot be written in the end.

    Args:
        path: The file; its folders may be missing.
        option: What names another, for the message.

    Raises:
        UserError: It is a folder or below a file, its name is too long, or
            it cannot be written.
    """
    if os.path.isdir(path) or str(path).endswith(os.sep):
        raise UserError(
            f'{option} {str(path)!r} is a folder; give the name of a file.'
        )
    real = Path(os.path.realpath(path))
    there = first_existing(real.parent)
    longest = os.pathconf(there, 'PC_NAME_MAX')
    if any(len(os.fsencode(part)) > longest for part in real.parts):
        raise UserError(
            f'{option} {str(path)!r} has a name of more than {longest} '
            'bytes; give a shorter one.'
        )
    if not there.is_dir():
        raise UserError(
            f'{option} {str(path)!r} cannot be written, since {str(there)!r} '
            'is a file and no folder; give another path.'
        )
    direct = os.path.exists(path) and not os.path.isfile(path)
    if not os.access(path if direct else there, os.W_OK):
        raise UserError(
            f'{option} {str(path)!r} cannot be written, since '
            f'{str(path if direct else there)!r} is read-only; give another '
            'path.'
        )


def first_existing(path: str | Path) -> Path:
    """Return the path itself, or the nearest parent of it that exists."""
    path = Path(os.path.abspath(path))
    while not os.path.exists(path):
        path = path.parent
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sha256_of(path: str | Path) -> str:
    """Return the sha256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_folder(
    path: str, what: str = 'work dir', option: str = '--work-dir'
) -> None:
    """Stop if a folder cannot be made: a file stands in its way.

    Args:
        path: The folder.
        what: What to call it.
        option: What names another.

    Raises:
        UserError: It cannot be made, or not be written.
    """
    there = first_existing(path)
    if not there.is_dir():
        raise UserError(
            f'The {what} {path!r} cannot be a folder, since {str(there)!r} '
            f'is a file; give another with {option}.'
        )
    if not os.access(there, os.W_OK):
        raise UserError(
            f'The {what} {path!r} cannot be written, since {str(there)!r} '
            f'is read-only; give another with {option}.'
        )
