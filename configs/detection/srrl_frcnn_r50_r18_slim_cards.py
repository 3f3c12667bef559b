"""SRRL on RoI embeddings: slim Faster R-CNN R-50 -> R-18 on playing cards.

The weights are ours: with 1, as for classifiers, the terms are 80 in the first
steps on playing cards, compared with detection losses of 3.0; with 0.02 they
are 1.6. 8 epochs, with the baseline's data and schedule.
"""

_base_ = [
    './kd_frcnn_r50_r18_slim_cards.py',
    '../_base_/methods/srrl_roi.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))
losses = model['distillers']['roi'].losses
losses.loss_fm.loss_weight = losses.loss_sr.loss_weight = 0.02
del losses
