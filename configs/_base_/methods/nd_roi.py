"""ND with KD (KD++) on RoIs. The child config sets the centroid file.

The weight is the authors' for R18-R101.
"""

_base_ = './kd_roi.py'
method = dict(
    distillers=dict(
        roi=dict(losses=dict(loss_nd=dict(type='NDLoss', loss_weight=1.5)))
    )
)
