"""RKD-DA on foreground embeddings: slim Faster R-CNN Lite2 -> Lite0."""

_base_ = [
    './kd_frcnn_lite2_lite0_slim_folder.py',
    '../_base_/methods/rkd_roi.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))
