"""ReviewKD++: slim Faster R-CNN R-50 -> R-18 on playing cards, 8 epochs.

ReviewKD on the levels of the FPN and ND on the RoIs, with the authors'
weights for R18-R101; their config sets 1.5 for ND, but their code uses 1.0.
No KD of logits.
"""

_base_ = [
    './nd_frcnn_r50_r18_nokd-slim_cards.py',
    '../_base_/methods/reviewkd.py',
]
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 1.2
del model.distillers.feats.connectors.student_feats.mid_channels  # the FPN's
