"""AtomicBackend: MMEngine's local files, written whole or not at all."""

from mmengine.fileio import LocalBackend, register_backend

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
        with atomic_write(filepath) as file:
            file.write(obj)

    def put_text(
        self, obj: str, filepath: str, encoding: str = 'utf-8'
    ) -> None:
        """Write text; see :meth:`put`."""
        self.put(obj.encode(encoding), filepath)


register_backend(ATOMIC, AtomicBackend, force=True)
