"""ND with KD on a one-stage detector. The child config sets the centroid file.

The embedding is the input of the classification layer at foreground
locations.
"""

_base_ = './kd_dense.py'
method = dict(
    distillers=dict(
        dense=dict(losses=dict(loss_nd=dict(type='NDLoss', loss_weight=1.5)))
    )
)
