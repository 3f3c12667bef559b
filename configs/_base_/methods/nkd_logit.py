"""NKD of a classifier's logits at the weights of the paper."""

method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(loss_nkd=dict(type='NKDLoss', gamma=1.5, tau=1.0)),
        )
    )
)
