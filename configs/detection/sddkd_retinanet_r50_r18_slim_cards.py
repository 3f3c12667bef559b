"""SDD with KD (SD-KD) on boxes: slim RetinaNet R-50 -> R-18 on playing cards.

No paper distils dense heads this way: the logit maps are pooled over the
cells of each annotated box, and each class has its own sigmoid.
"""

_base_ = [
    './kd_retinanet_r50_r18_slim_cards.py',
    '../_base_/methods/sddkd_dense.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))
