"""DKD on RoI logits with its authors' weights for detectors."""

method = dict(
    distillers=dict(
        roi=dict(
            type='RoIDistiller',
            losses=dict(
                loss_dkd=dict(type='DKDLoss', alpha=1.0, beta=0.25, tau=1.0)
            ),
        )
    )
)
