"""SRRL on RoI embeddings: slim Faster R-CNN R-50 -> R-18 on playing cards.

The weights are ours: at 1, as for classifiers, the terms are 80 at the first
steps on playing cards, beside detection losses of 3.0; so they are 1.6. 8
epochs, data and schedule of the control.
"""

_base_ = [
    './kd_frcnn_r50_r18_slim_cards.py',
    '../_base_/methods/srrl_roi.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))
losses = model['distillers']['roi'].losses
losses.loss_fm.loss_weight = losses.loss_sr.loss_weight = 0.02
del losses
