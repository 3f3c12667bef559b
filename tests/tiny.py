"""Shorthands over `kd_det.testing` for the tests of the core."""

import copy
import functools
import gc
import importlib
import itertools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.hub import get_config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import runner
from mmengine.runner.checkpoint import get_state_dict
from torch import nn
from yapf.yapflib import yapf_api

from kd_det.datasets import SHAPES_CLASSES
from kd_det.models import DistillModel
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS
from kd_det.testing import tiny_faster_rcnn, tiny_run
from kd_det.testing.pairs import BASE

CLASSES = SHAPES_CLASSES
NUM = len(CLASSES)
KD = dict(loss_kd=dict(type='KDLoss'))
ND = dict(loss_nd=dict(type='NDLoss'))
ND_FOREGROUND = dict(loss_nd=dict(type='NDLoss', background='foreground'))
NUMBERS = itertools.count()
FOLDER = tempfile.TemporaryDirectory()  # removed at exit
TASK = ('loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox')


def spare_time() -> None:
    """Skip what takes seconds and is of no interest here."""
    # the text of every run's config is laid out several times
    yapf_api.FormatCode = lambda text, **_: (text, False)
    # MMEngine asks compilers for their versions at each run
    if not hasattr(runner.collect_env, 'cache_info'):
        runner.collect_env = functools.cache(runner.collect_env)
    # mmdet's data sets collect garbage when they are made: not among the
    # half a million objects of the packages that are imported by now
    importlib.import_module('mmdet.apis')
    gc.collect()
    gc.freeze()


@functools.cache
def base_file() -> str:
    """Return mmdet's config in one file; its name takes long to look up."""
    path = f'{FOLDER.name}/base.py'
    get_config(BASE).dump(path)
    return path


def tiny_spec(depth: int = 18, num_classes: int = NUM, **kwargs) -> dict:
    """Return the spec of a tiny student (or teacher, of depth 50)."""
    model = tiny_faster_rcnn(depth, num_classes, **kwargs)
    return dict(model, cfg=base_file())


def pair_cfg(
    teacher: dict,
    losses: dict | None = None,
    centroids: str | Path | None = None,
    student: dict | None = None,
    taps: dict | None = None,
) -> ConfigDict:
    """Return the config of a pair; plain KD of an R-18 by default."""
    distiller = dict(type='RoIDistiller', losses=losses or KD)
    if centroids:
        distiller['centroids'] = str(centroids)
    if taps:
        distiller['taps'] = taps
    return ConfigDict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=copy.deepcopy(teacher),
        student=student or tiny_spec(),
        distillers=dict(roi=distiller),
    )


def build(cfg: dict, seed: int = 0) -> DistillModel:
    """Build and initialise a pair in train mode."""
    init_default_scope('mmdet')
    torch.manual_seed(seed)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def build_student(student: dict | None = None, seed: int = 0) -> nn.Module:
    """Build and initialise the student alone, as plain mmdet does."""
    init_default_scope('mmdet')
    torch.manual_seed(seed)
    model = MODELS.build(read_spec(student or tiny_spec(), 'student')[0])
    model.init_weights()
    return model.train()


def batch_of(shapes: Path, *indices: int) -> dict:
    """Return training images of the shapes as a loader collates them."""
    init_default_scope('mmdet')
    cfg = tiny_run({}, shapes, '', CLASSES).train_dataloader.dataset
    cfg.pipeline = [t for t in cfg.pipeline if t.type != 'RandomFlip']
    dataset = DATASETS.build(cfg)
    return pseudo_collate([dataset[i] for i in indices])


def without_objects(batch: dict, *images: int) -> dict:
    """Return a copy in which some images have no object."""
    batch = copy.deepcopy(batch)
    for image in images:
        sample = batch['data_samples'][image]
        sample.gt_instances = sample.gt_instances[:0]
    return batch


def losses_of(model: nn.Module, batch: dict, seed: int = 0) -> dict:
    """Run one training forward, seeded, and return the dict of losses."""
    torch.manual_seed(seed)
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    return model(**data, mode='loss')


def total(model: nn.Module, losses: dict) -> torch.Tensor:
    """Return the sum that training descends."""
    return model.parse_losses(losses)[0]


def open_hooks(*models: nn.Module) -> int:
    """Count the forward hooks on all modules."""
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for model in models
        for module in model.modules()
    )


def count_calls(module: nn.Module) -> list:
    """Return a list that grows by one with every forward of a module."""
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


def write_weights(model: dict, path: Path, change: Callable) -> dict:
    """Save random weights of a spec, changed, and return it with them."""
    state = get_state_dict(build_student(model))
    change(state)
    torch.save(dict(state_dict=state), path)
    return dict(model, ckpt=str(path))


def run_cfg(model: dict, shapes: Path, work_dir: Path, **changes) -> Config:
    """Return a run on the shapes, its keys changed by dotted names."""
    cfg = tiny_run(model, shapes, work_dir, CLASSES)
    # else two runs begun in one second share their logger
    cfg.experiment_name = f'test{next(NUMBERS)}'
    cfg.merge_from_dict({k.replace('__', '.'): v for k, v in changes.items()})
    return cfg


def other_annotations(shapes: Path, folder: Path, change: Callable) -> Path:
    """Make a copy of the shapes whose training annotations are changed."""
    (folder / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        (folder / split).symlink_to(shapes / split)
        name = f'annotations/instances_{split}.json'
        table = json.loads((shapes / name).read_text())
        if split == 'train':
            change(table)
        (folder / name).write_text(json.dumps(table))
    return folder
