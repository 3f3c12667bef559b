"""CWD on the FPN: slim Faster R-CNN Lite2 -> Lite0, 8 epochs.

The weight is 10 at temperature 1, as in mmrazor's recipe for Faster R-CNN.
"""

_base_ = [
    './kd_frcnn_lite2_lite0_slim_folder.py',
    '../_base_/methods/cwd.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))
