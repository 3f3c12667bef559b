"""FT as in its code: the last map, half as many channels, weight 500.

A child names the teacher's auto-encoder, the paraphraser.
"""

_base_ = '../../_base_/factor_classification_runtime.py'
method = dict(
    distillers=dict(
        factor=dict(
            type='FactorDistiller',
            norm=False,
            taps=dict(
                student=['backbone.layer3'], teacher=['backbone.layer3']
            ),
            losses=dict(
                loss_ft=dict(type='FactorTransferLoss', loss_weight=500.0)
            ),
        )
    )
)
