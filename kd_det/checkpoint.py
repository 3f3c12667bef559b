"""Load checkpoints without executing what is pickled in them."""

import os
import os.path as osp
import re
from collections.abc import Callable
from pickle import UnpicklingError
from urllib.error import URLError
from urllib.parse import urlsplit

import numpy as np
import torch
from mmengine.dist import get_dist_info, master_only
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import get_torchvision_models

from kd_det.errors import UserError

try:
    from numpy._core import multiarray
except ImportError:  # numpy 1
    from numpy.core import multiarray


def load_checkpoint(
    path: str,
    map_location: str | torch.device | Callable | None = 'cpu',
    trust: bool = False,
) -> dict:
    """Load a checkpoint from a file or URL, with pickle execution off.

    Tensors, plain Python values and what MMEngine's own checkpoints hold
    (NumPy numbers, its log history) are read; anything else is refused. The
    config text that MMEngine stores is dropped, since its resume would
    execute it.

    Args:
        path: A local file or an http(s) URL.
        map_location: As in ``torch.load``.
        trust: Execute the pickle. Only for a file you vouch for.

    Returns:
        The checkpoint.

    Raises:
        FileNotFoundError: No such file.
        UserError: The file is damaged, holds code, or cannot be downloaded.
    """
    if path.startswith(('http://', 'https://')):
        path = download(path)
    path = osp.expanduser(path)
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'There is no checkpoint {path!r}; give the path of a .pth file.'
        )
    try:
        with torch.serialization.safe_globals(_allowed()):
            checkpoint = torch.load(
                path, map_location=map_location, weights_only=not trust
            )
    except UnpicklingError as error:
        found = re.search(r'GLOBAL (\S+) was not an allowed', str(error))
        if found is None:
            raise _unreadable(path, error) from None
        raise UserError(
            f'Checkpoint {path!r} asks for {found[1]!r}, which could run '
            'code; convert it to plain tensors, or pass --trust-pickle '
            '(trust_pickle=True) if you vouch for the file.'
        ) from None
    except (EOFError, RuntimeError, OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(checkpoint, dict):
        raise UserError(
            f'Checkpoint {path!r} holds a {type(checkpoint).__name__}; a '
            'dict of tensors, or one under state_dict, is accepted.'
        )
    if isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)
    return checkpoint


def _unreadable(path: str, error: Exception) -> UserError:
    size = osp.getsize(path)
    reason = str(error).strip().splitlines()[0] if str(error).strip() else ''
    return UserError(
        f'Checkpoint {path!r} of {size} bytes cannot be read '
        f'({type(error).__name__}: {reason[:120]}); it is truncated or not a '
        'checkpoint, so copy or download it again.'
    )


def _restricted_getattr(owner: type, name: str):
    # MMEngine pickles the statistics methods of its log history this way.
    if owner is HistoryBuffer and not name.startswith('_'):
        return getattr(owner, name)
    raise UnpicklingError(f'GLOBAL getattr({owner},{name}) was not an allowed')


_restricted_getattr.__module__ = 'builtins'
_restricted_getattr.__qualname__ = 'getattr'


def _allowed() -> list:
    dtypes = {type(np.dtype(name)) for name in np.sctypeDict.values()}
    return [
        HistoryBuffer,
        _restricted_getattr,
        multiarray.scalar,
        multiarray._reconstruct,
        np.ndarray,
        np.dtype,
        *dtypes,
    ]


def download(url: str) -> str:
    """Fetch a checkpoint once into torch's hub cache and return its path."""
    folder = osp.join(torch.hub.get_dir(), 'checkpoints')
    path = osp.join(folder, osp.basename(urlsplit(url).path))
    rank, _ = get_dist_info()
    if not osp.isfile(path):
        _fetch(url, path, folder)
    if rank != 0 and not osp.isfile(path):
        raise UserError(
            f'Rank 0 did not fetch {url!r}; download it first and pass the '
            'local file.'
        )
    return path


@master_only
def _fetch(url: str, path: str, folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, path)  # atomic: it renames
    except (URLError, OSError) as error:
        raise UserError(
            f'Cannot download {url!r} ({error}); fetch it on a machine with '
            'a network and pass the local file: --teacher FILE for the '
            'teacher, --cfg-options model.student.backbone.init_cfg='
            'None (or .checkpoint=FILE) for the student.'
        ) from None


def use_safe_loading(trust: bool = False) -> None:
    """Make every load of MMEngine go through :func:`load_checkpoint`.

    Registers loaders for local files, http(s) and torchvision names with
    MMEngine's ``CheckpointLoader``, whose own ones fall back to executing
    the pickle.

    Args:
        trust: Let the pickles of this run execute.
    """

    def load(filename, map_location=None):
        return load_checkpoint(filename, map_location, trust)

    def load_torchvision(filename, map_location=None):
        name = filename.partition('://')[2]
        urls = get_torchvision_models()
        if name not in urls:
            raise UserError(
                f'torchvision has no weights {name!r}; accepted are e.g. '
                f'{sorted(urls)[:3]}.'
            )
        return load(urls[name], map_location)

    for prefixes, loader in (
        ('', load),
        (('http://', 'https://'), load),
        (('modelzoo://', 'torchvision://'), load_torchvision),
    ):
        CheckpointLoader.register_scheme(prefixes, loader, force=True)
