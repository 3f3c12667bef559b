"""SD-KD on RoIs: KD of the whole RoI and of its quarters."""

method = dict(
    distillers=dict(
        roi=dict(
            type='RoIDistiller',
            losses=dict(
                loss_sdd=dict(
                    type='SDDLoss', base=dict(type='KDLoss', tau=1.0)
                )
            ),
        )
    )
)
