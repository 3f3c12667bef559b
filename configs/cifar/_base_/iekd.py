"""IE-KD (IE-FT) on the last map, halves of the channels, weights 50.

A child names the teacher's auto-encoder.
"""

_base_ = '../../_base_/factor_classification_runtime.py'
method = dict(
    distillers=dict(
        factor=dict(
            type='FactorDistiller',
            taps=dict(
                student=['backbone.layer3'], teacher=['backbone.layer3']
            ),
            losses=dict(
                loss_inh=dict(type='InheritanceLoss', p=1, loss_weight=50.0),
                loss_exp=dict(type='ExplorationLoss', p=1, loss_weight=50.0),
            ),
        )
    )
)
