"""LD with KD: slim GFL R-50 -> R-18 on playing cards, 8 epochs.

The distributions of the box edges at temperature 10 and weight 0.25, as in
LD; LD's "valuable" region near objects is not used.
"""

_base_ = [
    './kd_gfl_r50_r18_slim_cards.py',
    '../_base_/methods/ld_dense.py',
]
model = _base_.pop('method')
