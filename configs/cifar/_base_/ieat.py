"""IE-AT: AT of one half of all stages, its negative of the other.

No auto-encoder: attention compares maps of any channels. The weights are
ours: that of AT, and for the negative, which is bounded, that of IE-KD.
"""

_base_ = [
    '../../_base_/factor_classification_runtime.py',
    './taps_stages.py',
]
method = dict(
    distillers=dict(
        factor=dict(
            type='FactorDistiller',
            taps=_base_.pop('taps'),
            losses=dict(
                loss_inh=dict(
                    type='InheritMapLoss',
                    base=dict(type='AttentionTransferLoss'),
                    loss_weight=1000.0,
                ),
                loss_exp=dict(
                    type='ExploreMapLoss',
                    base=dict(type='AttentionTransferLoss'),
                    loss_weight=50.0,
                ),
            ),
        )
    )
)
