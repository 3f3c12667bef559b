"""AtomicBackend: MMEngine's local files, written whole or not at all."""

import errno

from mmengine.fileio import LocalBackend, register_backend

from kd_det.errors import UserError
from kd_det.files import atomic_write

ATOMIC = 'kd_det.atomic'


class AtomicBackend(LocalBackend):
    """Local files that replace an older one only once they are complete.

    ``backend_args=dict(backend='kd_det.atomic')`` chooses it wherever
    MMEngine writes files.
    """

    def put(self, obj: bytes, filepath: str) -> None:
        """Write bytes.

        Raises:
            UserError: The disk is full; an older file is left unchanged.
        """
        try:
            with atomic_write(filepath) as file:
                file.write(obj)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise UserError(
                f'No space left to write {str(filepath)!r} '
                f'({len(obj) / 2**20:.1f} MiB): nothing was overwritten or '
                'removed, so free some space and resume from the previous '
                'checkpoint.'
            ) from None

    def put_text(
        self, obj: str, filepath: str, encoding: str = 'utf-8'
    ) -> None:
        """Write text; see :meth:`put`."""
        self.put(obj.encode(encoding), filepath)


register_backend(ATOMIC, AtomicBackend, force=True)
