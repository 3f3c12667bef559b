"""The teacher of the playing-card runs: slim GFL R-50, 16 epochs."""

_base_ = [
    '../_base_/models/gfl_r50_slim.py',
    '../_base_/datasets/cards.py',
    '../_base_/schedules/adamw_16e.py',
    '../_base_/default_runtime.py',
]
