"""SD-DKD at T = 1, without a warm-up (30 epochs in the paper). A child gives
beta. See `sdkd.py` of CIFAR, which ImageNet shares as it is: T = 4.
"""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            via_4x4=True,
            losses=dict(
                loss_sdd=dict(
                    type='SDDLoss',
                    base=dict(type='DKDLoss', alpha=1.0, tau=1.0),
                )
            ),
        )
    )
)
