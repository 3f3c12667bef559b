"""Hints beside the triplets, weighted as by default in RKD's script."""

_base_ = './stages.py'
method = dict(
    distillers=dict(
        feats=dict(
            connectors=dict(student_feats=dict(type='ConvAdaptor')),
            losses=dict(loss_fitnet=dict(type='FitNetLoss', loss_weight=1.0)),
        )
    )
)
