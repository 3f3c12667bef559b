"""SDD of RoIs on KD (SD-KD): slim Faster R-CNN R-50 -> R-18, playing cards.

No paper distils detectors this way: the cells of the RoIs on objects go
through the box head one by one (`cells='align'`), beta is the paper's 2.
"""

_base_ = './kd_frcnn_r50_r18_slim_cards.py'
model = dict(
    distillers=dict(
        roi=dict(
            losses=dict(
                _delete_=True,
                loss_sdd=dict(
                    type='SDDLoss', base=dict(type='KDLoss', tau=1.0)
                ),
            )
        )
    )
)
