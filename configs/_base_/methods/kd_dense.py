"""KD on a one-stage detector's logits, at every location."""

method = dict(
    distillers=dict(
        dense=dict(
            type='DenseDistiller',
            losses=dict(loss_kd=dict(type='DenseKDLoss')),
        )
    )
)
