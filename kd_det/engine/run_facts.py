"""Facts about a run: code, versions, machine, data, initial weights."""

import os
import os.path as osp
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from torch.utils.data import Dataset

import kd_det
from kd_det import pip_weights
from kd_det.config import specs_that_train
from kd_det.datasets.chosen import distinct
from kd_det.datasets.run_data import Split
from kd_det.files import sha256_of
from kd_det.models.distill_model import teacher_specs
from kd_det.models.spec import read_spec

PACKAGES = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain')


def commit() -> str | None:
    """Return the git commit of the working directory, if it has one.

    ``+changes`` is appended if tracked files differ from it.
    """
    try:
        head, changes = (
            subprocess.run(
                ['git', *words], capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (
                ['rev-parse', 'HEAD'],
                ['status', '--porcelain', '--untracked-files=no'],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f'{head}+changes' if changes else head


def versions() -> dict[str, str]:
    """Return the versions of kd_det and of the libraries in use."""
    found = {
        name: sys.modules[name].__version__
        for name in PACKAGES
        if name in sys.modules
    }
    return dict(kd_det=kd_det.__version__, **found)


def machine() -> dict[str, str | int]:
    """Return the device, threads per process and number of processes."""
    cuda = torch.cuda.is_available()
    return dict(
        device=torch.cuda.get_device_name() if cuda else 'cpu',
        threads=torch.get_num_threads(),
        processes=get_world_size(),
    )


def data_facts(split: Split, dataset: Dataset) -> dict:
    """Return what tells one data set from another.

    Args:
        split: What its config names.
        dataset: What was built from it.

    Returns:
        The number of ``images``, the ``annotations`` as file name -> SHA-256,
        and ``images_sha256``, a hash of the images' names and sizes in bytes,
        None if they are not files.
    """
    annotations = {}
    for leaf in split.leaves:
        if osp.isfile(leaf.file):
            name = osp.basename(leaf.file)
            # two folders may have files of one name
            name = leaf.file if name in annotations else name
            annotations[name] = sha256_of(leaf.file)
    digest, files, indices = sha256(), 0, distinct(dataset)
    for index in indices:
        path = dataset.get_data_info(index).get('img_path')
        if path and osp.isfile(path):
            files += 1
            line = f'{osp.basename(path)} {osp.getsize(path)}\n'
            digest.update(line.encode())
    return dict(
        images=len(indices),
        annotations=annotations,
        images_sha256=digest.hexdigest() if files else None,
    )


def initial_weights(cfg: Config) -> dict[str, dict[str, str | None]]:
    """Return a run's initial checkpoints by part of the model.

    Returns:
        Name of the part (``student``, ``teacher``, ``model``) -> file name or
        URL -> SHA-256, None if it is not a local file.
    """
    model = cfg.model
    learners = specs_that_train(model)
    found = {}
    if learners:
        for index, spec in enumerate(learners):
            name = 'student' if 'student' in model else f'peer {index}'
            found[name] = {*_checkpoints(read_spec(spec, 'student')[0])}
    else:
        found['model'] = {*_checkpoints(model)}
    if learners and 'teacher' in model:
        for name, spec in teacher_specs(model.teacher).items():
            found[name] = {spec.get('ckpt')} - {None}
    if cfg.get('load_from'):
        found['load_from'] = {cfg.load_from}
    return {
        part: dict(_named_digest(path) for path in sorted(paths))
        for part, paths in found.items()
        if paths
    }


def processor_seconds() -> float:
    """Return the CPU time of this process and its finished children."""
    return sum(os.times()[:4])


def _checkpoints(node: object) -> Iterator[str]:
    """Yield the values of ``checkpoint`` and ``ckpt`` in a config."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ('checkpoint', 'ckpt') and isinstance(value, str):
                yield value
            yield from _checkpoints(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _checkpoints(value)


def _named_digest(address: str) -> tuple[str, str | None]:
    if address.startswith(pip_weights.SCHEME):
        return address, sha256_of(pip_weights.locate(address))
    if osp.isfile(address):
        return osp.basename(address), sha256_of(address)
    return address, None
