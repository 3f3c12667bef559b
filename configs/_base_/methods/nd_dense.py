"""ND with KD on a one-stage detector. A child gives the centroid file.

The embedding is what goes into the class layer at locations on objects.
"""

_base_ = './kd_dense.py'
method = dict(
    distillers=dict(
        dense=dict(losses=dict(loss_nd=dict(type='NDLoss', loss_weight=1.5)))
    )
)
