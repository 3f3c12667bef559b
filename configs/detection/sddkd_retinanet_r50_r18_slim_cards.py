"""SDD of boxes on KD (SD-KD): slim RetinaNet R-50 -> R-18 on playing cards.

No paper distils dense heads this way: the logit maps are pooled over the
cells of each annotated box, and each class has its own yes or no.
"""

_base_ = './kd_retinanet_r50_r18_slim_cards.py'
model = dict(
    distillers=dict(
        dense=dict(
            losses=dict(
                _delete_=True,
                loss_sdd=dict(type='SDDLoss', base=dict(type='SigmoidKDLoss')),
            )
        )
    )
)
