"""PKD on all levels of two FPNs with equal strides."""

method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            losses=dict(loss_pkd=dict(type='PKDLoss', loss_weight=6.0)),
        )
    )
)
