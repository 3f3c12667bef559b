"""The teacher of the blood-cell runs: slim RetinaNet R-50, 16 epochs."""

_base_ = [
    '../_base_/models/retinanet_r50_slim.py',
    '../_base_/datasets/bccd.py',
    '../_base_/schedules/adamw_16e.py',
    '../_base_/default_runtime.py',
]
