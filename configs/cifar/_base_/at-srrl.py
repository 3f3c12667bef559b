"""`at.py` and the terms of `srrl.py` beside it."""

_base_ = './at.py'
method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            connectors=dict(student_map=dict(type='ConvAdaptor')),
            losses=dict(
                loss_fm=dict(type='FeatureMatchingLoss'),
                loss_sr=dict(type='SoftmaxRegressionLoss'),
            ),
        )
    )
)
