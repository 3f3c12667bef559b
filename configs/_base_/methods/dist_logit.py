"""DIST on a classifier's logits."""

method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(
                loss_dist=dict(
                    type='DISTLoss',
                    beta=1.0,
                    gamma=1.0,
                    tau=1.0,
                    loss_weight=2.0,
                )
            ),
        )
    )
)
