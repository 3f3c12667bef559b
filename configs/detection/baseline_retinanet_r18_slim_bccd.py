"""Baseline of the blood-cell runs: slim RetinaNet R-18 alone, 8 epochs."""

_base_ = [
    '../_base_/models/retinanet_r18_slim.py',
    '../_base_/datasets/bccd.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/default_runtime.py',
]
