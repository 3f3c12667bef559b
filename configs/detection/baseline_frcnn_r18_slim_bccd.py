"""Baseline of the blood-cell runs: slim Faster R-CNN R-18 alone, 8 epochs."""

_base_ = [
    '../_base_/models/frcnn_r18_slim.py',
    '../_base_/datasets/bccd.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/default_runtime.py',
]
