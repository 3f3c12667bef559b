"""OFD as in its code: all stages before their activation, weight 0.001."""

_base_ = '../../_base_/factor_classification_runtime.py'
method = dict(
    distillers=dict(
        factor=dict(
            type='FactorDistiller',
            taps=dict(
                student=[
                    'backbone.layer1.relu:input',
                    'backbone.layer2.relu:input',
                    'backbone.layer3.relu:input',
                ],
                teacher=[
                    'backbone.layer1.relu:input',
                    'backbone.layer2.relu:input',
                    'backbone.layer3.relu:input',
                ],
            ),
            connectors=dict(
                student_feats=dict(type='ConvAdaptor', relu=False)
            ),
            losses=dict(loss_ofd=dict(type='OFDLoss', loss_weight=0.001)),
        )
    )
)
