"""DIST on RoI logits. The weights are those for classifiers, untuned."""

method = dict(
    distillers=dict(
        roi=dict(
            type='RoIDistiller',
            losses=dict(
                loss_dist=dict(type='DISTLoss', beta=1.0, gamma=1.0, tau=1.0)
            ),
        )
    )
)
