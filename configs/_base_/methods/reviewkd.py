"""ReviewKD on the five levels of two FPNs. The child sets the weight."""

method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            connectors=dict(
                student_feats=dict(type='ABFConnector', mid_channels=256)
            ),
            losses=dict(loss_reviewkd=dict(type='ReviewKDLoss')),
        )
    )
)
