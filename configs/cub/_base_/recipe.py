"""CUB-200 by the recipe of SDD."""

_base_ = [
    '../../_base_/datasets/cub200.py',
    '../../_base_/schedules/cub_240e.py',
]
