"""ND with KD (KD++) on RoIs. A child gives the centroid file.

The weight is that of the authors' R18-R101.
"""

_base_ = './kd_roi.py'
method = dict(
    distillers=dict(
        roi=dict(losses=dict(loss_nd=dict(type='NDLoss', loss_weight=1.5)))
    )
)
