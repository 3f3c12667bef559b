"""RKD-DA between the cells of the neck's maps, 128 of a level."""

method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            losses=dict(
                loss_rkd_d=dict(
                    type='MapRelationLoss',
                    base=dict(type='RKDDistanceLoss'),
                    loss_weight=3.0,
                ),
                loss_rkd_a=dict(
                    type='MapRelationLoss',
                    base=dict(type='RKDAngleLoss'),
                    loss_weight=6.0,
                ),
            ),
        )
    )
)
