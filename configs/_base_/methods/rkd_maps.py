"""RKD-DA between the cells of the neck's maps, 128 of a level.

The weights are ours: on blood cells, with a slim Faster R-CNN, both terms
are 7 % of the detection losses of a student that begins and 11 % of those of
one that has learnt.
"""

method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            losses=dict(
                loss_rkd_d=dict(
                    type='MapRelationLoss',
                    base=dict(type='RKDDistanceLoss'),
                    loss_weight=1.0,
                ),
                loss_rkd_a=dict(
                    type='MapRelationLoss',
                    base=dict(type='RKDAngleLoss'),
                    loss_weight=2.0,
                ),
            ),
        )
    )
)
