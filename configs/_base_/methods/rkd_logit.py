"""RKD-DA between the images of a batch, with RepDistiller's weights."""

method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(
                loss_rkd_d=dict(type='RKDDistanceLoss', loss_weight=25.0),
                loss_rkd_a=dict(type='RKDAngleLoss', loss_weight=50.0),
            ),
        )
    )
)
