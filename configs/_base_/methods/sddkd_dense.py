"""SD-KD on a one-stage detector: KD on each box and on its quarters."""

method = dict(
    distillers=dict(
        dense=dict(
            type='DenseDistiller',
            losses=dict(
                loss_sdd=dict(type='SDDLoss', base=dict(type='SigmoidKDLoss'))
            ),
        )
    )
)
