"""Inheritance, PKD and KD: slim Faster R-CNN Lite2 -> half R-18, 8 epochs.

The student's backbone begins from random weights.
"""

_base_ = './inheritpkd_frcnn_lite2_r18half_slim_folder.py'
model = dict(
    distillers=dict(
        roi=dict(
            type='RoIDistiller',
            losses=dict(loss_kd=dict(type='KDLoss', tau=1.0, loss_weight=1.0)),
        )
    )
)
