"""PKD on the neck: slim YOLOX Lite2 -> Lite0, 8 epochs."""

_base_ = [
    './inherit_yolox_lite2_lite0_slim_folder.py',
    '../_base_/methods/pkd.py',
]
model = dict(
    student=dict(inherit=()), distillers=_base_.pop('method').distillers
)
