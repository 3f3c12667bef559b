"""FGD on all levels of two FPNs; the weights of one-stage detectors."""

method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            losses=dict(
                loss_focal=dict(type='FGDFocalLoss', alpha=1e-3, beta=5e-4),
                loss_attention=dict(type='FGDAttentionLoss', loss_weight=1e-3),
                loss_global=dict(type='FGDGlobalLoss', loss_weight=5e-6),
            ),
        )
    )
)
