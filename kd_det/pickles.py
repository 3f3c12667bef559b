"""Let data sets read pickles of plain values without executing them."""

import pickle
from pathlib import Path
from typing import IO

import numpy as np
from mmengine.fileio.handlers import PickleHandler, file_handlers
from mmengine.structures import InstanceData

from kd_det.errors import UserError

# whatever else a pickle names could run code; in Python 2's names, too
MODULES = dict(__builtin__='builtins')
PLAIN = {
    '_codecs.encode',
    'builtins.bytearray',
    'builtins.complex',
    'builtins.frozenset',
    'builtins.set',
    'collections.OrderedDict',
    'numpy.dtype',
    'numpy.ndarray',
    'numpy._core.multiarray._reconstruct',
    'numpy._core.multiarray.scalar',
    'numpy._core.numeric._frombuffer',
    # of MMDetection's files of proposals
    f'{InstanceData.__module__}.{InstanceData.__name__}',
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        module = MODULES.get(module, module)
        module = module.replace('numpy.core.', 'numpy._core.')
        if f'{module}.{name}' not in PLAIN:
            raise UserError(
                f'A pickle asks for {f"{module}.{name}"[:80]!r}, which could '
                'run code; write plain lists, dicts, numbers and arrays, or '
                'pass --trust-pickle if you trust the file.'
            )
        return super().find_class(module, name)


class PlainPickleHandler(PickleHandler):
    """Reads pickles of lists, dicts, text, numbers and arrays only."""

    def load_from_fileobj(self, file: IO[bytes], **kwargs) -> object:
        """Return the content of a file.

        Args:
            file: The file.
            kwargs: As for ``pickle.load``.

        Raises:
            UserError: It holds anything else.
        """
        return _Reader(file, **kwargs).load()


def use_plain_pickles(trust: bool = False) -> None:
    """Let ``mmengine.load``, which data sets call, execute no pickles.

    Args:
        trust: Whether this run's files may execute code.
    """
    handler = PickleHandler() if trust else PlainPickleHandler()
    file_handlers.update(pkl=handler, pickle=handler)


def check_array(path: str | Path) -> None:
    """Raise unless ``numpy.load`` of a file executes nothing.

    Args:
        path: A .npy file, or a pickle.

    Raises:
        UserError: It is damaged, or asks for more than plain values.
    """
    with open(path, 'rb') as file:
        plain = file.read(6) == np.lib.format.MAGIC_PREFIX
        file.seek(0)
        try:
            if plain:
                np.lib.format.read_array(file, allow_pickle=False)
            else:
                file_handlers['pkl'].load_from_fileobj(file)
        except Exception as error:  # noqa: BLE001  damaged bytes raise anything
            raise UserError(f'{str(path)!r}: {error}') from None
