"""The teacher: slim DINO EfficientNet-Lite2, 16 epochs.

Uses ImageNet weights; set `data_root` and `classes` for a COCO-layout folder.
"""

_base_ = [
    '../_base_/models/dino_lite2_slim.py',
    '../_base_/datasets/coco_folder_augmented.py',
    '../_base_/schedules/adamw_16e.py',
    '../_base_/cpu_runtime.py',
]
