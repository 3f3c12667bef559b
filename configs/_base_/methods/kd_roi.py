"""KD on RoI logits, including background."""

method = dict(
    distillers=dict(
        roi=dict(
            type='RoIDistiller',
            losses=dict(loss_kd=dict(type='KDLoss', tau=1.0, loss_weight=1.0)),
        )
    )
)
