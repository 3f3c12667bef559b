"""ND with KD (KD++) for a classifier. The child sets the centroid file."""

_base_ = './kd_logit.py'
method = dict(
    distillers=dict(
        logit=dict(losses=dict(loss_nd=dict(type='NDLoss', loss_weight=1.0)))
    )
)
