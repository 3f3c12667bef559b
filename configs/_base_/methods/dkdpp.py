"""DKD++: `dkd.py` with ND. The child config sets weight and centroid file."""

_base_ = './dkd.py'
method = dict(
    distillers=dict(roi=dict(losses=dict(loss_nd=dict(type='NDLoss'))))
)
