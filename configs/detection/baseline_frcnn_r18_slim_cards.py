"""Baseline of the playing-card runs: slim Faster R-CNN R-18, 8 epochs."""

_base_ = [
    '../_base_/models/frcnn_r18_slim.py',
    '../_base_/datasets/cards.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/default_runtime.py',
]
