"""AT on the maps of all stages, weighted as in RepDistiller, no warm-up."""

_base_ = [
    '../../_base_/distill_classification_runtime.py',
    './taps_stages.py',
]
method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            taps=_base_.pop('taps'),
            losses=dict(
                loss_at=dict(type='AttentionTransferLoss', loss_weight=1000.0)
            ),
        )
    )
)
