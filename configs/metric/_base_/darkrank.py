"""DarkRank beside the triplets, sharpened as in RKD's script.

The weight is ours: theirs is not known.
"""

_base_ = './triplet.py'
method = dict(
    student=_base_.pop('method'),
    distillers=dict(
        embed=dict(
            type='EmbeddingDistiller',
            losses=dict(
                loss_darkrank=dict(
                    type='DarkRankLoss', alpha=2.0, beta=3.0, loss_weight=1.0
                ),
            ),
        )
    ),
)
