"""The last three stages of both networks, as in RKD's code, and triplets."""

_base_ = './triplet.py'
method = dict(
    student=_base_.pop('method'),
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            taps=dict(
                student=[
                    'backbone.layer2',
                    'backbone.layer3',
                    'backbone.layer4',
                ],
                teacher=[
                    'backbone.layer2',
                    'backbone.layer3',
                    'backbone.layer4',
                ],
            ),
        )
    ),
)
