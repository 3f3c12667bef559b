"""Export a distilled student as a plain network."""

import re
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import get_state_dict
from torch import nn

from kd_det.api.launch import student_of
from kd_det.checkpoint import load_checkpoint
from kd_det.datasets.run_data import RunData
from kd_det.errors import UserError, counted
from kd_det.evaluation.plain_libraries import (
    count_predictions,
    same_predictions,
    same_raw_outputs,
    stock_network,
)
from kd_det.files import atomic_write
from kd_det.models.loading import load_exactly
from kd_det.preflight.checkpoints import check_same_classes
from kd_det.preflight.data import check_data


def export_student(
    cfg: Config,
    checkpoint: str,
    out_dir: str,
    num_images: int = 4,
    trust_pickle: bool = False,
) -> tuple[Path, Path]:
    """Write the student's config and weights to ``student.py``/``.pth``.

    The config is the run's with the student as its model; the checkpoint
    contains only the student's weights and class names. Both are then loaded
    with MMDetection's ``init_detector`` or MMPretrain's ``get_model``, whose
    predictions on test images are compared with the student's. kd_det is only
    required if the network or data set itself comes from kd_det.

    Args:
        cfg: Config from ``launch.prepare``.
        checkpoint: Training checkpoint.
        out_dir: Output folder.
        num_images: Number of test images for the comparison.
        trust_pickle: Whether to execute the pickle in the checkpoint.

    Returns:
        Paths of the two files.

    Raises:
        UserError: The checkpoint does not match, or the exported student's
            predictions differ, in which case the files are removed.
    """
    data = RunData(cfg)
    split = data.held_out('The comparison of predictions in kd_det export')
    check_data(data, (split.name,))
    plain = student_of(cfg)
    if split is data.val:  # MMDetection reads the test pipeline of a config
        plain.test_dataloader = plain.val_dataloader
        plain.test_evaluator = plain.val_evaluator
        plain.test_cfg = dict(type='TestLoop')
    state = load_checkpoint(checkpoint, trust=trust_pickle)
    check_same_classes(split, state, checkpoint)
    student = MODELS.build(plain.model).eval()
    load_exactly(student, state, checkpoint, 'student')
    _without_training(plain)
    folder = Path(out_dir)
    config_file, weight_file = folder / 'student.py', folder / 'student.pth'
    with atomic_write(config_file) as file:
        file.write(plain.pretty_text.encode())
    meta = state.get('meta') or {}
    slim = dict(
        meta=dict(dataset_meta=meta.get('dataset_meta', {})),
        state_dict=get_state_dict(student),
    )
    with atomic_write(weight_file) as file:
        torch.save(slim, file)
    try:
        count = _compare(student, plain, config_file, weight_file, num_images)
    except BaseException:
        config_file.unlink()
        weight_file.unlink()
        raise
    if count == 0:
        print('No boxes were predicted; raw outputs were compared instead.')
    library, unit = (
        ('MMPretrain', ('output',))
        if plain.get('default_scope') == 'mmpretrain'
        else ('MMDetection', ('box', 'boxes'))
    )
    ours = sorted({*re.findall(r"'kd_det\.(\w+)'", str(plain.model))})
    who = f'stock {library} loads them'
    if ours:
        who = (
            f'{library} loads them after `import kd_det.registry`, which has '
            f'{", ".join(ours)},'
        )
    print(
        f'Wrote {config_file} and {weight_file}; {who} and predicts the same '
        f'{counted(count, *unit)} on {counted(num_images, "image")}.'
    )
    return config_file, weight_file


def _without_training(cfg: Config) -> None:
    """Remove training settings and kd_det hooks from a config."""
    for name in ('work_dir', 'load_from', 'resume', 'launcher'):
        cfg.pop(name, None)
    cfg.pop('custom_hooks', None)
    hooks = cfg.get('default_hooks', {})
    for name in [k for k, v in hooks.items() if 'kd_det.' in str(v['type'])]:
        hooks.pop(name)


@torch.no_grad()
def _compare(
    student: nn.Module,
    cfg: Config,
    config_file: Path,
    weight_file: Path,
    num_images: int,
) -> int:
    scope = cfg.get('default_scope', 'mmdet')
    stock = stock_network(config_file, weight_file, scope)
    loader = Runner.build_dataloader(dict(cfg.test_dataloader, batch_size=1))
    count = 0
    for _, batch in zip(range(num_images), loader):
        ours, theirs = student.test_step(batch), stock.test_step(batch)
        count += count_predictions(ours)
        same = same_predictions(ours, theirs) and (
            # without boxes, compare the raw outputs
            count > 0 or same_raw_outputs(student, stock, batch)
        )
        if not same:
            raise UserError(
                f'Stock {scope} does not reproduce the predictions of the '
                f'student from {config_file}; it interprets parts of the '
                'config differently, so compare the two model configs.'
            )
    return count
