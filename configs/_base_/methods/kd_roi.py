"""KD of RoI logits, background included."""

method = dict(
    distillers=dict(
        roi=dict(
            type='RoIDistiller',
            losses=dict(loss_kd=dict(type='KDLoss', tau=1.0, loss_weight=1.0)),
        )
    )
)
