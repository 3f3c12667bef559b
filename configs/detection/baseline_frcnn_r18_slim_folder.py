"""Baseline: slim Faster R-CNN R-18 alone, 8 epochs.

Uses random weights; set `data_root` and `classes` for a COCO-layout folder.
"""

_base_ = [
    '../_base_/models/frcnn_r18_slim.py',
    '../_base_/datasets/coco_folder.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/cpu_runtime.py',
]
