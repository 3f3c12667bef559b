"""The teacher: slim YOLOX EfficientNet-Lite2, 12 epochs.

From ImageNet weights; `data_root` and `classes` name any COCO-layout folder.
"""

_base_ = [
    '../_base_/models/yolox_lite2_slim.py',
    '../_base_/datasets/coco_folder.py',
    '../_base_/schedules/adamw_12e.py',
    '../_base_/cpu_runtime.py',
]
