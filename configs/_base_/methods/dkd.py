"""DKD of RoI logits at the weights of its authors for detectors."""

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
