"""BCKD: slim GFL Lite2 -> Lite0, 8 epochs.

The weights are those of the authors' GFL configs.
"""

_base_ = [
    './kd_gfl_lite2_lite0_slim_folder.py',
    '../_base_/methods/bckd_dense.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))
