"""NKD as in the code of SDD without a warm-up, see that of CIFAR."""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(
                loss_nkd=dict(
                    type='NKDLoss', gamma=1.5, tau=1.0, mask_target=False
                )
            ),
        )
    )
)
