"""IE-DML: IE-KD between peers whose auto-encoders train with them."""

_base_ = './dml.py'
method = dict(
    distillers=dict(
        factor=dict(
            type='MutualFactorDistiller',
            taps=['backbone.layer3'],
            losses=dict(
                loss_inh=dict(type='InheritanceLoss', p=1, loss_weight=50.0),
                loss_exp=dict(type='ExplorationLoss', p=1, loss_weight=50.0),
                loss_rec=dict(type='ReconstructionLoss'),
            ),
        )
    )
)
