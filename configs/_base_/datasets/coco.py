"""mmdet's COCO with workers that end with the epoch: an exact resume."""

_base_ = 'mmdet::_base_/datasets/coco_detection.py'
train_dataloader = dict(persistent_workers=False)
