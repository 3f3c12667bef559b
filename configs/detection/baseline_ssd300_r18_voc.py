"""Baseline of the VOC runs: SSD300 R-18 alone."""

_base_ = [
    '../_base_/models/ssd300_r18.py',
    '../_base_/datasets/voc_ssd300.py',
    '../_base_/schedules/voc_ssd.py',
    '../_base_/default_runtime.py',
]
