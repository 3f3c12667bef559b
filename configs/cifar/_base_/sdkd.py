"""SD-KD: KD of regions, weighted as `kd.py`. A child gives the scales of
networks of one family: (1, 2).

Code and paper of SDD differ; this is the code: no warm-up (30 epochs in the
paper), cells pooled from a 4x4 map, and a region is complementary if the
teacher is right about it and wrong about the image, or the reverse
(`split='paper'`: if the two classes differ).
"""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.1))),
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            via_4x4=True,
            losses=dict(
                loss_sdd=dict(
                    type='SDDLoss',
                    base=dict(type='KDLoss', tau=4.0),
                    loss_weight=0.9,
                )
            ),
        )
    ),
)
