"""Short training runs: half precision, and resume."""

import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import Tensor

from kd_det import random_state
from kd_det.checkpoint import load_checkpoint
from kd_det.datasets import SHAPES_CLASSES, make_shapes
from kd_det.gpu_check.pairs import CLASSES, Steps, tiny
from kd_det.gpu_check.rows import Row
from kd_det.testing import tiny_batch, tiny_pair, tiny_run

STEPS = 5
DTYPES = {'fp16': torch.float16, 'bf16': torch.bfloat16}
DISTILLERS = dict(
    ND=dict(
        type='RoIDistiller',
        losses=dict(
            loss_nd=dict(type='NDLoss'),
            loss_kd=dict(type='KDLoss'),
            # its stored norms are resumed too
            loss_sifn=dict(type='SIFNLoss', num_classes=8, loss_weight=0.01),
        ),
    ),
    PKD=dict(
        type='FeatureDistiller', losses=dict(loss_pkd=dict(type='PKDLoss'))
    ),
)
FAMILIES = dict(ND='faster_rcnn', PKD='retinanet')


def check_amp(device: torch.device) -> Iterator[Row]:
    """Yield one row per method and half precision: train a tiny pair."""
    with TemporaryDirectory() as folder:
        steps = Steps(tiny(), folder, device)
        for method in steps.distillers:
            for name, dtype in DTYPES.items():
                yield _train(steps, method, name, dtype)


def _train(steps: Steps, method: str, name: str, dtype: torch.dtype) -> Row:
    model, device = steps.model(method), steps.device
    data = tiny_batch(model, num_classes=CLASSES)
    before = [p.detach().clone() for p in model.parameters()]
    sgd = torch.optim.SGD(model.parameters(), lr=0.01)
    if device.type == 'cuda':
        # with a loss scale that works from the first step
        wrapper = AmpOptimWrapper(
            loss_scale=dict(init_scale=2.0**10), dtype=dtype, optimizer=sgd
        )
    else:  # MMEngine's requires an accelerator
        wrapper = OptimWrapper(sgd)
    on_cpu = device.type == 'cpu'
    with (
        random_state.isolated(),
        torch.autocast('cpu', dtype, enabled=on_cpu),
    ):
        random_state.seed_all(3)
        losses = [
            float(model.train_step(data, wrapper)['loss'])
            for _ in range(STEPS)
        ]
    after = [p.detach() for p in model.parameters()]
    moved = sum(not torch.equal(*pair) for pair in zip(before, after))
    finite = all(map(math.isfinite, losses)) and all(
        bool(p.isfinite().all()) for p in after
    )
    return Row(
        f'training with {name} AMP, {method}',
        f'loss {losses[0]:.3f} to {losses[-1]:.3f} in {STEPS} steps, {moved} '
        f'of {len(after)} weights changed',
        'finite, moved',
        finite and moved > 0,
    )


def check_resume(device: torch.device) -> Iterator[Row]:
    """Yield one row per method: compare resumed and uninterrupted runs.

    Two epochs, and one epoch plus one resumed epoch, with deterministic
    algorithms.
    """
    deterministic = torch.are_deterministic_algorithms_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    try:
        with TemporaryDirectory() as folder, random_state.isolated():
            for method in DISTILLERS:
                yield _resume(method, Path(folder) / method)
    finally:  # MMEngine sets them for the process
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.deterministic = cudnn[0]
        torch.backends.cudnn.benchmark = cudnn[1]


def _resume(method: str, folder: Path) -> Row:
    init_default_scope('mmdet')
    shapes = make_shapes(
        folder / 'data', num_train=8, num_val=2, image_size=64
    )
    family = FAMILIES[method]
    distiller = dict(DISTILLERS[method])
    if method == 'ND':
        distiller['centroids'] = str(folder / 'bank.npz')
    pair = tiny_pair(
        folder,
        num_classes=len(SHAPES_CLASSES),
        student=family,
        teacher=family,
        distillers=dict(it=distiller),
    )

    def train(name: str, epochs: int, resume: bool = False) -> dict:
        """Train and return the last checkpoint."""
        work_dir = folder / name
        cfg = tiny_run(pair, shapes, work_dir, SHAPES_CLASSES, epochs)
        for key in ('val_dataloader', 'val_evaluator', 'val_cfg'):
            cfg.pop(key)
        cfg.experiment_name = f'{folder.name}_{name}_{epochs}'
        cfg.randomness = dict(seed=0, deterministic=True)
        cfg.resume = resume
        cfg.default_hooks = dict(
            checkpoint=dict(type='kd_det.SafeCheckpointHook', interval=1)
        )
        cfg.custom_hooks = [
            dict(type='kd_det.CentroidHook'),
            dict(type='kd_det.RandomStateHook'),
        ]
        Runner.from_cfg(cfg).train()
        return load_checkpoint(str(work_dir / f'epoch_{epochs}.pth'))

    straight = train('straight', 2)
    train('stopped', 1)
    resumed = train('stopped', 2, resume=True)
    pairs = [
        (*both, part)
        for part in ('state_dict', 'optimizer')
        for both in zip(
            _tensors(straight[part]), _tensors(resumed[part]), strict=True
        )
    ]
    differing = [part for a, b, part in pairs if not torch.equal(a, b)]
    return Row(
        f'exact resume, {method}',
        f'{len(pairs) - len(differing)} of {len(pairs)} tensors of weights '
        'and optimiser are bit-identical',
        'all',
        bool(pairs) and not differing,
    )


def _tensors(tree) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        for key in tree:
            yield from _tensors(tree[key])
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from _tensors(item)
