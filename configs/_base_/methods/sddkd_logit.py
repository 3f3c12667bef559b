"""SD-KD of a classifier: KD of the image and of its quarters."""

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
