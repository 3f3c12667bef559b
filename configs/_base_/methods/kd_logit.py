"""KD on a classifier's logits, added to the full cross-entropy."""

method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(loss_kd=dict(type='KDLoss', tau=4.0, loss_weight=1.0)),
        )
    )
)
