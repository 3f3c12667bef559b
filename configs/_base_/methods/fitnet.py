"""FitNet on all levels of two FPNs with equal strides.

No weight for detectors is published: it is calibrated in step 100 so that the
gradient is half as large as that of the task loss.
"""

method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            losses=dict(loss_fitnet=dict(type='FitNetLoss', auto_weight=0.5)),
        )
    )
)
