"""CWD on all levels of two FPNs with equal strides."""

method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            losses=dict(loss_cwd=dict(type='CWDLoss', loss_weight=10.0)),
        )
    )
)
