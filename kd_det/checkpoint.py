"""Load checkpoints without executing pickled code."""

import os
import os.path as osp
import re
from argparse import Namespace
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from urllib.parse import urlsplit

import numpy as np
import torch
from mmengine.dist import barrier, get_rank
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import (
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from numpy._core import multiarray

from kd_det import pip_weights
from kd_det.errors import UserError, nearest
from kd_det.files import check_unpacked
from kd_det.pickles import use_plain_pickles

# what torch.save writes after the protocol of a pickle: its magic number
TORCH = b'\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19'


def load_checkpoint(
    path: str | Path,
    map_location: str | torch.device | Callable | None = 'cpu',
    trust: bool = False,
) -> dict:
    """Load a checkpoint from a file or URL with pickle execution disabled.

    Tensors, plain Python values, the contents of MMEngine's checkpoints
    (NumPy numbers, its log history) and parsed arguments, which timm and
    torchvision store, are read; anything else is rejected. The config text
    stored by MMEngine is discarded, since resuming would execute it. A
    safetensors file is recognised by its content.

    Args:
        path: Local file, http(s) URL or ``pip://NAME``, the checkpoint in an
            installed distribution.
        map_location: As in ``torch.load``.
        trust: Whether to execute the pickle; only for trusted files.

    Returns:
        The checkpoint.

    Raises:
        FileNotFoundError: The file does not exist.
        UserError: The file is damaged, contains code, or cannot be downloaded.
    """
    path = str(path)
    if path.startswith(('http://', 'https://')):
        path = download(path)
    elif path.startswith(pip_weights.SCHEME):
        path = pip_weights.locate(path)
    path = osp.expanduser(path)
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'There is no checkpoint {path!r}; give the path of a .pth file.'
        )
    check_unpacked(path)
    try:
        if _is_safetensors(path):
            return _load_safetensors(path)
        with torch.serialization.safe_globals(_allowed()):
            checkpoint = torch.load(
                path, map_location=map_location, weights_only=not trust
            )
    except UnpicklingError as error:
        found = re.search(r'GLOBAL (\S+)', str(error))
        if found is None:
            raise _unreadable(path, error) from None
        raise UserError(
            f'Checkpoint {path!r} asks for {found[1]!r}, which could run '
            'code; convert it to plain tensors, or pass --trust-pickle '
            '(trust_pickle=True) if you trust the file.'
        ) from None
    except UserError:
        raise
    except Exception as error:  # damaged bytes raise anything
        raise _unreadable(path, error) from None
    if not isinstance(checkpoint, dict):
        raise UserError(
            f'Checkpoint {path!r} contains a {type(checkpoint).__name__}; a '
            'dict of tensors, or one under state_dict, is accepted.'
        )
    if isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)
    return checkpoint


def _is_safetensors(path: str) -> bool:
    """Return whether a file begins with the length of a header, and one."""
    with open(path, 'rb') as file:
        length, brace = file.read(8), file.read(1)
    # neither a zip nor a pickle has so small a number there
    return brace == b'{' and int.from_bytes(length, 'little') < 2**32


def _load_safetensors(path: str) -> dict:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise UserError(
            f'Checkpoint {path!r} is a safetensors file; run pip install '
            'safetensors to read it.'
        ) from None
    return load_file(path)


def _unreadable(path: str, error: Exception) -> UserError:
    size = osp.getsize(path)
    with open(path, 'rb') as file:
        start = file.read(14)
    if start[:1] == b'\x80' and not TORCH.startswith(start[2:]):
        return UserError(
            f'Checkpoint {path!r} is a pickle that torch.save has not '
            'written, and it may hold NumPy arrays; if you trust it, convert '
            "it to tensors: torch.save(dict(state_dict=…), 'FILE.pth')."
        )
    # torch describes the cause in the second paragraph, if there is one
    paragraphs = str(error).split('\n\n')
    reason = paragraphs[min(1, len(paragraphs) - 1)].strip()
    return UserError(
        f'Checkpoint {path!r} of {size} bytes cannot be read '
        f'({type(error).__name__}: {reason[:120]!r}); it is truncated or not '
        'a checkpoint: delete it, then copy or download it again.'
    )


def _restricted_getattr(owner: type, name: str):
    # MMEngine pickles the statistics methods of its log history like this.
    if owner is HistoryBuffer and not name.startswith('_'):
        return getattr(owner, name)
    raise UnpicklingError(f'GLOBAL getattr({owner},{name})')


_restricted_getattr.__module__ = 'builtins'
_restricted_getattr.__qualname__ = 'getattr'


def _allowed() -> list:
    dtypes = {type(np.dtype(name)) for name in np.sctypeDict.values()}
    return [
        HistoryBuffer,
        Namespace,
        _restricted_getattr,
        multiarray.scalar,
        multiarray._reconstruct,
        np.ndarray,
        np.dtype,
        *dtypes,
    ]


def download(url: str) -> str:
    """Download a checkpoint once to torch's hub cache and return its path."""
    folder = osp.join(torch.hub.get_dir(), 'checkpoints')
    path = osp.join(folder, osp.basename(urlsplit(url).path))
    try:
        if get_rank() == 0 and not osp.isfile(path):
            _fetch(url, path)
    finally:
        barrier()  # also after an error, to avoid a deadlock
    if not osp.isfile(path):  # on a node without a shared disk
        _fetch(url, path)
    return path


def _fetch(url: str, path: str) -> None:
    os.makedirs(osp.dirname(path), exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, path)  # atomic: it renames
    except (OSError, HTTPException) as error:
        raise UserError(
            f'Cannot download {url!r} ({error}); download it on a machine '
            'with network access and pass the local file: --teacher FILE '
            'for the teacher, --cfg-options '
            'model.student.backbone.init_cfg.checkpoint=FILE for the '
            'student (or …init_cfg=None together with …frozen_stages=-1, '
            '…norm_eval=False and …norm_cfg.requires_grad=True, to train it '
            'from scratch).'
        ) from None


def use_safe_loading(trust: bool = False) -> None:
    """Make MMEngine load all checkpoints with :func:`load_checkpoint`.

    Registers loaders for local files, http(s) and model zoo names with
    MMEngine's ``CheckpointLoader``, whose own loaders fall back to executing
    the pickle. Other pickles, those of data sets, are read by
    :mod:`kd_det.pickles`.

    Args:
        trust: Whether this run's files may execute pickles.
    """
    use_plain_pickles(trust)

    # MMEngine logs the part after `load_from_`
    def load_from_file(filename, map_location=None):
        return load_checkpoint(filename, map_location, trust)

    def load_from_torchvision(filename, map_location=None):
        url = _look_up(filename, get_torchvision_models())
        return load_checkpoint(url, map_location, trust)

    def load_from_openmmlab(filename, map_location=None):
        url = _look_up(filename, get_external_models())
        return load_checkpoint(url, map_location, trust)

    def load_from_pip(filename, map_location=None):
        state = load_checkpoint(filename, map_location, trust)
        state = state.get('state_dict', state)
        return dict(state_dict=pip_weights.rename_for_timm(state))

    def load_from_mmcls(filename, map_location=None):
        url = _look_up(filename, get_mmcls_models())
        return _backbone(load_checkpoint(url, map_location, trust))

    loaders = {
        '': load_from_file,
        'http://': load_from_file,
        'https://': load_from_file,
        'modelzoo://': load_from_torchvision,
        'torchvision://': load_from_torchvision,
        'open-mmlab://': load_from_openmmlab,
        'openmmlab://': load_from_openmmlab,
        'mmcls://': load_from_mmcls,
        pip_weights.SCHEME: load_from_pip,
        'pavi://': _refuse,
        r'(\S+\:)?s3://': _refuse,
    }
    for prefix, loader in loaders.items():
        CheckpointLoader.register_scheme(prefix, loader, force=True)


def _look_up(filename: str, urls: dict[str, str]) -> str:
    scheme, _, name = filename.partition('://')
    if name not in urls:
        raise UserError(
            f'There are no weights {name!r} under {scheme}://'
            f'{nearest(name, urls) or "; use a file or an http(s) URL"}.'
        )
    return urls[name]


def _backbone(checkpoint: dict) -> dict:
    """Reduce a classifier's checkpoint to its backbone."""
    state = checkpoint.get('state_dict', checkpoint)
    mark = 'backbone.'
    own = {
        key.removeprefix(mark): value
        for key, value in state.items()
        if key.startswith(mark)
    }
    return dict(state_dict=own)


def _refuse(filename: str, map_location=None) -> dict:
    raise UserError(
        f'Checkpoint {filename!r} can only be read by a loader that executes '
        'pickles; copy it to a local file and use that.'
    )
