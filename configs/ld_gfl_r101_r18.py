"""LD with KD: GFL R-101 -> R-18, COCO 1x.

Temperature 10 and weight 0.25 of LD; KD of the classes as in
`kd_gfl_r101_r18.py`. Locations near objects, LD's valuable region, are left
out.
"""

_base_ = [
    './_base_/models/gfl_r101_r18.py',
    './_base_/methods/ld_dense.py',
    './_base_/datasets/coco.py',
    './_base_/schedules/schedule_1x_dense.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')
