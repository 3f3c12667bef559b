"""SDD with KD (SD-KD) on RoIs: slim Faster R-CNN R-50 -> R-18, playing cards.

No paper distils detectors this way: the cells of foreground RoIs go through
the box head one by one (`cells='align'`), beta is the paper's 2.
"""

_base_ = [
    './kd_frcnn_r50_r18_slim_cards.py',
    '../_base_/methods/sddkd_roi.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))
