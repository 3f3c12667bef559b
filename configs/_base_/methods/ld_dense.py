"""LD with KD: distributions of box edges, for heads such as GFL's."""

_base_ = './kd_dense.py'
method = dict(
    distillers=dict(dense=dict(losses=dict(loss_ld=dict(type='LDLoss'))))
)
