"""IE-OD: OFD of one half of all stages, of the other its bounded negative.

The bound is ours: about the distance of an untrained ResNet-20.
"""

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
                student_inherit_feats=dict(type='ConvAdaptor', relu=False),
                student_explore_feats=dict(type='ConvAdaptor', relu=False),
            ),
            losses=dict(
                loss_inh=dict(
                    type='InheritMapLoss',
                    base=dict(type='OFDLoss', loss_weight=0.001),
                ),
                loss_exp=dict(
                    type='ExploreMapLoss',
                    base=dict(type='OFDLoss', loss_weight=0.001),
                    bound=50.0,
                ),
            ),
        )
    )
)
