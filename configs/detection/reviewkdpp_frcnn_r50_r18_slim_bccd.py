"""ReviewKD++: slim Faster R-CNN R-50 -> R-18 on blood cells, 8 epochs.

ReviewKD on the levels of the FPN and ND on the RoIs, at the weights of the
authors' R18-R101; 1.5 for ND is what their config says, 1.0 what their code
makes of it. No KD of logits.
"""

_base_ = './nd_frcnn_r50_r18_slim_bccd.py'
model = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            connectors=dict(student_feats=dict(type='ABFConnector')),
            losses=dict(
                loss_reviewkd=dict(type='ReviewKDLoss', loss_weight=1.2)
            ),
        ),
        roi=dict(
            losses=dict(
                _delete_=True, loss_nd=dict(type='NDLoss', loss_weight=1.5)
            )
        ),
    )
)
