"""ReviewKD as in mdistiller, without a warm-up. A child gives the weight.

Both sides' stages are taken before their last activation; the points are
those of ResNet-18, and of ResNet-34 and ResNet-50.
"""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            taps=dict(
                student=[
                    'backbone.layer1.1.relu:input[-1]',
                    'backbone.layer2.1.relu:input[-1]',
                    'backbone.layer3.1.relu:input[-1]',
                    'backbone.layer4.1.relu:input[-1]',
                    'neck',
                ],
                teacher=[
                    'backbone.layer1.2.relu:input[-1]',
                    'backbone.layer2.3.relu:input[-1]',
                    'backbone.layer3.5.relu:input[-1]',
                    'backbone.layer4.2.relu:input[-1]',
                    'neck',
                ],
            ),
            connectors=dict(student_feats=dict(type='ABFConnector')),
            losses=dict(loss_reviewkd=dict(type='ReviewKDLoss')),
        )
    )
)
