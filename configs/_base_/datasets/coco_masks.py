"""COCO with masks and non-persistent workers, for exact resume."""

_base_ = 'mmdet::_base_/datasets/coco_instance.py'
train_dataloader = dict(persistent_workers=False)
