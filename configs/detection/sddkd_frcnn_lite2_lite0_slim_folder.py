"""SDD with KD (SD-KD) on RoIs: slim Faster R-CNN Lite2 -> Lite0, 8 epochs."""

_base_ = [
    './kd_frcnn_lite2_lite0_slim_folder.py',
    '../_base_/methods/sddkd_roi.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))
