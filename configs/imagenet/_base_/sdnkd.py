"""SD-NKD at T = 1, without a warm-up (30 epochs in the paper). A child gives
gamma. See `sdnkd.py` of CIFAR.
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
                    base=dict(type='NKDLoss', tau=1.0, mask_target=False),
                )
            ),
        )
    )
)
