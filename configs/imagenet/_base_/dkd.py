"""DKD as in mdistiller: T = 1, no warm-up. A child gives beta.

alpha is the 1 of its configs; the paper says 0.5, and its authors that the
results hardly depend on it.
"""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(loss_dkd=dict(type='DKDLoss', alpha=1.0, tau=1.0)),
        )
    )
)
