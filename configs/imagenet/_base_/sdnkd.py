"""SD-NKD at T = 1, without a warm-up (30 epochs in the paper). A child gives
gamma. See `sdnkd.py` of CIFAR.
"""

_base_ = './sddkd.py'
method = dict(
    distillers=dict(
        logit=dict(
            losses=dict(
                loss_sdd=dict(
                    base=dict(
                        _delete_=True,
                        type='NKDLoss',
                        tau=1.0,
                        mask_target=False,
                    )
                )
            )
        )
    )
)
