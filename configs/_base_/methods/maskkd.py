"""KD on RoI logits and masks, for detectors such as Mask R-CNN."""

_base_ = './kd_roi.py'
method = dict(
    distillers=dict(
        mask=dict(
            type='MaskDistiller', losses=dict(loss_kd=dict(type='MaskKDLoss'))
        )
    )
)
