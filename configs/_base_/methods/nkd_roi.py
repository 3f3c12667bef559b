"""NKD on RoI logits. The weights are those for classifiers, untuned."""

method = dict(
    distillers=dict(
        roi=dict(
            type='RoIDistiller',
            losses=dict(loss_nkd=dict(type='NKDLoss', gamma=1.5, tau=1.0)),
        )
    )
)
