"""Tiny detector pairs and short runs."""

from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import get_state_dict

from kd_det import random_state
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS
from kd_det.testing.detectors import BASE, tiny_detector

__all__ = ['BASE', 'save_teacher', 'tiny_pair', 'tiny_run']


def save_teacher(
    spec: dict, path: str | Path, classes: tuple[str, ...] = (), seed: int = 7
) -> dict:
    """Save random weights for a spec and return it with ``ckpt`` set.

    Args:
        spec: See :func:`tiny_detector` and ``tiny_classifier``.
        path: Checkpoint file to write.
        classes: Class names to store, as in MMEngine checkpoints.
        seed: Seed for the weights.
    """
    init_default_scope(spec.get('_scope_', 'mmdet'))
    with random_state.isolated():
        torch.manual_seed(seed)
        model = MODELS.build(read_spec(spec, 'teacher')[0])
        model.init_weights()
    checkpoint = dict(
        meta=dict(dataset_meta=dict(classes=classes)),
        state_dict=get_state_dict(model),
    )
    torch.save(checkpoint, path)
    return dict(spec, ckpt=str(path))


def tiny_pair(
    folder: str | Path,
    distiller: dict | None = None,
    num_classes: int = 6,
    student: str | dict = 'faster_rcnn',
    teacher: str | dict = 'faster_rcnn',
    distillers: dict | None = None,
) -> ConfigDict:
    """Return the config of a ``DistillModel`` with two tiny detectors.

    Args:
        folder: Folder for the random teacher's checkpoint.
        distiller: Config of the RoIDistiller without its type; default: plain
            KD.
        num_classes: Number of classes of networks given by family.
        student: Family of a :func:`tiny_detector` with R-18, or a spec.
        teacher: Family of a :func:`tiny_detector` with R-50, or a spec, with
            random weights.
        distillers: Distillers of the ``DistillModel`` instead of
            ``distiller``; required for one-stage detectors.

    Raises:
        UserError: Both ``distiller`` and ``distillers`` are given, or a family
            is unknown.
    """
    if distiller is not None and distillers is not None:
        raise UserError(
            f'distiller={distiller!r} and distillers={distillers!r} are '
            'given; use only one of them.'
        )
    if distillers is None:
        distiller = distiller or dict(losses=dict(loss_kd=dict(type='KDLoss')))
        distillers = dict(roi=dict(distiller, type='RoIDistiller'))
    if isinstance(student, str):
        student = tiny_detector(student, 18, num_classes)
    if isinstance(teacher, str):
        teacher = tiny_detector(teacher, 50, num_classes)
    return ConfigDict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=save_teacher(teacher, Path(folder) / 'teacher.pth'),
        student=student,
        distillers=distillers,
    )


def tiny_run(
    model: dict,
    data_root: str | Path,
    work_dir: str | Path,
    classes: tuple[str, ...],
    max_epochs: int = 1,
    seed: int = 0,
) -> Config:
    """Return the config of a run on a small COCO-layout folder.

    Args:
        model: A plain detector's config or :func:`tiny_pair`.
        data_root: Folder with ``annotations/instances_{train,val}.json``.
        work_dir: Output folder of the run.
        classes: Class names in label order.
        max_epochs: Number of epochs; validation is run at the end.
        seed: Random seed.

    Returns:
        A config for ``Runner.from_cfg``.
    """
    train = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='Resize', scale=(64, 64), keep_ratio=True),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackDetInputs'),
    ]
    test = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(64, 64), keep_ratio=True),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(
            type='PackDetInputs',
            meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')
            + ('scale_factor',),
        ),
    ]
    loaders = {
        split: dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=split == 'train'),
            dataset=dict(
                type='CocoDataset',
                data_root=str(data_root),
                ann_file=f'annotations/instances_{split}.json',
                data_prefix=dict(img=f'{split}/'),
                metainfo=dict(classes=classes),
                test_mode=split == 'val',
                pipeline=train if split == 'train' else test,
            ),
        )
        for split in ('train', 'val')
    }
    evaluator = dict(
        type='CocoMetric',
        ann_file=f'{data_root}/annotations/instances_val.json',
        metric='bbox',
    )
    return Config(
        dict(
            default_scope='mmdet',
            model=model,
            work_dir=str(work_dir),
            train_dataloader=loaders['train'],
            val_dataloader=loaders['val'],
            test_dataloader=loaders['val'],
            val_evaluator=evaluator,
            test_evaluator=evaluator,
            train_cfg=dict(
                type='EpochBasedTrainLoop',
                max_epochs=max_epochs,
                val_interval=max_epochs,
            ),
            val_cfg=dict(type='ValLoop'),
            test_cfg=dict(type='TestLoop'),
            optim_wrapper=dict(
                type='OptimWrapper',
                optimizer=dict(type='SGD', lr=0.01, momentum=0.9),
                clip_grad=dict(max_norm=10),
            ),
            randomness=dict(seed=seed),
            log_level='WARNING',
        )
    )
