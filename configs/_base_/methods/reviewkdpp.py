"""ReviewKD++: `reviewkd.py`, and ND on the RoIs. No KD of logits.

A child gives the weights and the centroid file.
"""

_base_ = './reviewkd.py'
method = dict(
    distillers=dict(
        roi=dict(type='RoIDistiller', losses=dict(loss_nd=dict(type='NDLoss')))
    )
)
