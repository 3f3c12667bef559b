"""DKD on a classifier's logits. The best beta differs between pairs."""

method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(
                loss_dkd=dict(type='DKDLoss', alpha=1.0, beta=2.0, tau=4.0)
            ),
        )
    )
)
