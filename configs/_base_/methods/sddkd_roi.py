"""SD-KD on RoIs: KD on the whole RoI and on its quarters."""

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
