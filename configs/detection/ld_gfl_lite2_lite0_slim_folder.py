"""LD with KD: slim GFL Lite2 -> Lite0, 8 epochs.

The distributions of the box edges at temperature 10 and weight 0.25, as in
LD; LD's "valuable" region near objects is not used.
"""

_base_ = [
    './kd_gfl_lite2_lite0_slim_folder.py',
    '../_base_/methods/ld_dense.py',
]
model = _base_.pop('method')
