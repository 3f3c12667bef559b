"""NKD on a classifier's logits with the paper's weights."""

method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(loss_nkd=dict(type='NKDLoss', gamma=1.5, tau=1.0)),
        )
    )
)
