"""Atomic file writing and output checks."""

import errno
import fcntl
import glob
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from kd_det.errors import UserError

RATIO = 100  # of sizes; torch and NumPy hardly compress
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what a full disk raises


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``path`` on success.

    For a symbolic link the target is replaced. Existing special files, such as
    pipes or devices, are written to directly. What killed processes have left
    of earlier attempts to write ``path`` is removed.

    Args:
        path: File to write; missing folders are created.

    Yields:
        A binary file. It is synced and renamed at the end of the block; if the
        block raises, it is deleted and ``path`` is unchanged.

    Raises:
        UserError: The disk is full.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, 'wb') as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # truncated, since most file systems limit names to 255 bytes
    name = path.name[:40]
    remove_unfinished(path.parent, glob.escape(name))
    handle, temporary = _locked_file(path.parent, name)
    try:
        with os.fdopen(handle, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in FULL:
            raise UserError(
                f'No space left to write {str(path)!r} ({error.strerror}): '
                'nothing was overwritten or removed; free some space, and '
                'start again, with --resume if there is a checkpoint.'
            ) from None
        raise


def _locked_file(folder: Path, name: str) -> tuple[int, str]:
    """Create a temporary file that :func:`remove_unfinished` leaves alone."""
    while True:
        handle, path = tempfile.mkstemp(dir=folder, prefix=f'.{name}.')
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, path
        os.close(handle)  # it was removed before it was locked


def remove_unfinished(folder: Path, names: str) -> None:
    """Remove the temporary files of processes that were killed.

    Args:
        folder: Folder of the files that they were writing.
        names: Pattern of the names of these files.
    """
    for path in folder.glob(f'.{names}.????????'):  # as mkstemp names them
        with suppress(OSError), open(path, 'r+b') as file:
            # a process that still writes it holds the lock
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def check_output(path: str | Path, option: str = '--out') -> None:
    """Raise in advance if a file cannot be written.

    Args:
        path: Output file; its folders may be missing.
        option: Option that sets the path, for the message.

    Raises:
        UserError: It is a folder or below a file, its name is too long, or it
            is not writable.
    """
    if os.path.isdir(path) or str(path).endswith(os.sep):
        raise UserError(
            f'{option} {str(path)!r} is a folder; use the name of a file.'
        )
    real = Path(os.path.realpath(path))
    there = first_existing(real.parent)
    longest = os.pathconf(there, 'PC_NAME_MAX')
    if any(len(os.fsencode(part)) > longest for part in real.parts):
        raise UserError(
            f'{option} {str(path)!r} has a name of more than {longest} '
            'bytes; use a shorter one.'
        )
    if not there.is_dir():
        raise UserError(
            f'{option} {str(path)!r} cannot be written, since {str(there)!r} '
            'is a file, not a folder; use another path.'
        )
    direct = os.path.exists(path) and not os.path.isfile(path)
    if not os.access(path if direct else there, os.W_OK):
        raise UserError(
            f'{option} {str(path)!r} cannot be written, since '
            f'{str(path if direct else there)!r} is read-only; use another '
            'path.'
        )


def check_unpacked(path: str | Path) -> None:
    """Raise if a zip archive becomes absurdly large when it is read.

    Args:
        path: A checkpoint or class means; other files pass.

    Raises:
        UserError: Its content is more than 1 GiB, and RATIO times its size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # for its reader to explain
    if size > max(2**30, RATIO * os.path.getsize(path)):
        raise UserError(
            f'{str(path)!r} of {os.path.getsize(path)} bytes would become '
            f'{size} bytes in memory, so that it is no file of weights; get '
            'it again from its authors.'
        )


def first_existing(path: str | Path) -> Path:
    """Return the path, or its nearest existing parent."""
    path = Path(os.path.abspath(path))
    while not os.path.exists(path):
        path = path.parent
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_folder(
    path: str, what: str = 'work directory', option: str = '--work-dir'
) -> None:
    """Raise if a folder cannot be created or written to.

    Args:
        path: Path of the folder.
        what: Name of the folder in messages.
        option: Option that sets the path, for the message.

    Raises:
        UserError: It cannot be created, or is read-only.
    """
    there = first_existing(path)
    if not there.is_dir():
        raise UserError(
            f'The {what} {path!r} cannot be a folder, since {str(there)!r} '
            f'is a file; set another with {option}.'
        )
    if not os.access(there, os.W_OK):
        raise UserError(
            f'The {what} {path!r} cannot be written, since {str(there)!r} is '
            f'read-only; set another with {option}.'
        )
