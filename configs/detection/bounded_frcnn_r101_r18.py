"""Bounded regression with KD: Faster R-CNN R-101 -> R-18, COCO 1x.

The regression has the weight 0.5 of reimplementations and no margin; the
paper's weighted cross-entropy and hints are not part of this config.
"""

_base_ = ['../kd_frcnn_r101_r18.py', '../_base_/methods/bounded_roi.py']
model = _base_.pop('method')
