"""The demo's GFL student with LD and KD of dense logits."""

_base_ = [
    './kd_gfl_lite2_lite0_demo_shapes.py',
    '../_base_/methods/ld_dense.py',
]
model = _base_.pop('method')
