"""Baseline: slim DINO EfficientNet-Lite0 alone, 8 epochs.

Uses ImageNet weights; set `data_root` and `classes` for a COCO-layout folder.
"""

_base_ = [
    '../_base_/models/dino_lite0_slim.py',
    '../_base_/datasets/coco_folder.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/cpu_runtime.py',
]
