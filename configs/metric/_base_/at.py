"""AT beside the triplets.

The weight is that of RKD's few-shot baseline: here theirs is not known.
"""

_base_ = './stages.py'
method = dict(
    distillers=dict(
        feats=dict(
            losses=dict(
                loss_at=dict(type='AttentionTransferLoss', loss_weight=10.0)
            )
        )
    )
)
