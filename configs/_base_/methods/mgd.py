"""MGD on all levels of two FPNs; the weights of one-stage detectors."""

method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            connectors=dict(
                student_feats=dict(type='MGDConnector', mask_ratio=0.65)
            ),
            losses=dict(loss_mgd=dict(type='MGDLoss', loss_weight=2e-5)),
        )
    )
)
