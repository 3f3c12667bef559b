"""MMDetection's COCO with non-persistent workers, for exact resume."""

_base_ = 'mmdet::_base_/datasets/coco_detection.py'
train_dataloader = dict(persistent_workers=False)
