"""Teacher-bounded regression of boxes with KD of RoI logits."""

_base_ = './kd_roi.py'
method = dict(
    distillers=dict(
        roi=dict(losses=dict(loss_bounded=dict(type='TeacherBoundedLoss')))
    )
)
