"""A hint at the second stage, weighted as in RepDistiller, no warm-up."""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            taps=dict(
                student=['backbone.layer2'], teacher=['backbone.layer2']
            ),
            connectors=dict(student_feats=dict(type='ConvAdaptor')),
            losses=dict(
                loss_fitnet=dict(type='FitNetLoss', loss_weight=100.0)
            ),
        )
    )
)
