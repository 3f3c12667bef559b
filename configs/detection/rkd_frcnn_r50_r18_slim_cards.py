"""RKD-DA on foreground embeddings: slim Faster R-CNN R-50 -> R-18.

On playing cards, with the weights of rkd_frcnn_r101_r18.py, which are ours:
about a tenth of the detection losses. 8 epochs, with the baseline's data and
schedule.
"""

_base_ = [
    './kd_frcnn_r50_r18_slim_cards.py',
    '../_base_/methods/rkd_roi.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))
