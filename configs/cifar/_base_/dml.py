"""DML: each learns the other's softmax, weight 1, no temperature."""

_base_ = './peers.py'
method = dict(
    _scope_='kd_det',
    type='MutualModel',
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(loss_kd=dict(type='KDLoss', tau=1.0)),
        )
    ),
)
