"""AT on the maps of all stages, weighted as in RepDistiller, no warm-up."""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            taps=dict(
                student=[
                    'backbone.layer1',
                    'backbone.layer2',
                    'backbone.layer3',
                ],
                teacher=[
                    'backbone.layer1',
                    'backbone.layer2',
                    'backbone.layer3',
                ],
            ),
            losses=dict(
                loss_at=dict(type='AttentionTransferLoss', loss_weight=1000.0)
            ),
        )
    )
)
