"""SD-KD for a classifier: KD on the image and on its quarters."""

method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(
                loss_sdd=dict(
                    type='SDDLoss', base=dict(type='KDLoss', tau=4.0)
                )
            ),
        )
    )
)
