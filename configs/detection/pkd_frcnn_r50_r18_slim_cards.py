"""PKD on the FPN: slim Faster R-CNN R-50 -> R-18 on playing cards, 8 epochs.

The weight is 6, as in the authors' recipe for Faster R-CNN.
"""

_base_ = [
    './kd_frcnn_r50_r18_slim_cards.py',
    '../_base_/methods/pkd.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))
