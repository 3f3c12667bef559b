"""YOLOX-nano at 416 x 416, to evaluate public weights of COCO or to train.

Set `data_root`, and `classes` unless they are COCO's 80.
"""

_base_ = [
    '../_base_/models/yolox_nano.py',
    '../_base_/datasets/coco_folder_yolox.py',
    '../_base_/schedules/adamw_16e.py',
    '../_base_/cpu_runtime.py',
]
