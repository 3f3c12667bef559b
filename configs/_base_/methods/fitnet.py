"""FitNet on all levels of two FPNs that have the same stride.

No weight for detectors is published: step 100 makes the gradient half as
large as the task's.
"""

method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            losses=dict(loss_fitnet=dict(type='FitNetLoss', auto_weight=0.5)),
        )
    )
)
