"""OFD as in its code: all stages before their activation, weight 0.001."""

_base_ = [
    '../../_base_/factor_classification_runtime.py',
    './taps_before_relu.py',
]
method = dict(
    distillers=dict(
        factor=dict(
            type='FactorDistiller',
            taps=_base_.pop('taps'),
            connectors=dict(
                student_feats=dict(type='ConvAdaptor', relu=False)
            ),
            losses=dict(loss_ofd=dict(type='OFDLoss', loss_weight=0.001)),
        )
    )
)
