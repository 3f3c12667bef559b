"""PKD on all levels of two FPNs that have the same stride."""

method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            losses=dict(loss_pkd=dict(type='PKDLoss', loss_weight=6.0)),
        )
    )
)
