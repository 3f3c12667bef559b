"""ReviewKD++: `reviewkd.py` with ND on the RoIs. No KD on logits.

The child config sets the weights and the centroid file.
"""

_base_ = './reviewkd.py'
method = dict(
    distillers=dict(
        roi=dict(type='RoIDistiller', losses=dict(loss_nd=dict(type='NDLoss')))
    )
)
