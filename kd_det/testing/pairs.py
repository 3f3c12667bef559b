"""Tiny Faster R-CNN pairs: real mmdet detectors, a fraction of a second."""

from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import get_state_dict

from kd_det import random_state
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS

BASE = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'


def tiny_faster_rcnn(
    depth: int = 18,
    num_classes: int = 6,
    base_channels: int = 8,
    num_rois: int = 16,
) -> dict:
    """Return a student or teacher spec of a Faster R-CNN in miniature.

    Args:
        depth: Of the ResNet.
        num_classes: Without background.
        base_channels: Width of its first stage.
        num_rois: Sampled RoIs an image.

    Returns:
        ``dict(cfg=..., **overrides)``, as ``DistillModel`` takes it.
    """
    expansion = 1 if depth < 50 else 4
    stages = [base_channels * expansion * 2**i for i in range(4)]
    return dict(
        cfg=BASE,
        num_classes=num_classes,
        backbone=dict(
            depth=depth,
            base_channels=base_channels,
            frozen_stages=-1,
            norm_eval=True,
            init_cfg=None,
        ),
        neck=dict(in_channels=stages, out_channels=16),
        rpn_head=dict(in_channels=16, feat_channels=16),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=16),
            bbox_head=dict(in_channels=16, fc_out_channels=32),
        ),
        train_cfg=dict(
            rpn_proposal=dict(nms_pre=100, max_per_img=50),
            rcnn=dict(sampler=dict(num=num_rois)),
        ),
        test_cfg=dict(rpn=dict(nms_pre=100, max_per_img=50)),
    )


def save_teacher(
    spec: dict, path: str | Path, classes: tuple[str, ...] = (), seed: int = 7
) -> dict:
    """Write random weights for a spec and return it with that ``ckpt``.

    Args:
        spec: See :func:`tiny_faster_rcnn` and ``tiny_classifier``.
        path: File to write.
        classes: Class names to store, as MMEngine's checkpoints do.
        seed: Of the weights.
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
) -> ConfigDict:
    """Return the config of a ``DistillModel`` of two tiny detectors.

    Args:
        folder: Where the random teacher's checkpoint is written.
        distiller: Config of the RoIDistiller without its type; plain KD
            without it.
        num_classes: Of both sides.
    """
    teacher = save_teacher(
        tiny_faster_rcnn(50, num_classes), Path(folder) / 'teacher.pth'
    )
    distiller = distiller or dict(losses=dict(loss_kd=dict(type='KDLoss')))
    return ConfigDict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=teacher,
        student=tiny_faster_rcnn(18, num_classes),
        distillers=dict(roi=dict(distiller, type='RoIDistiller')),
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
        work_dir: Where the run writes.
        classes: Names in label order.
        max_epochs: Of the training; validation at the end.
        seed: Of everything random.

    Returns:
        Ready for ``Runner.from_cfg``.
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
