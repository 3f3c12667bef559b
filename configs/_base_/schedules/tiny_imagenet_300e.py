"""`cifar_200e_rkd.py` for 300 epochs, with further steps after 200 and 250.

The Tiny-ImageNet schedule of the RKD paper; not verified against it.
"""

_base_ = './cifar_200e_rkd.py'
train_cfg = dict(max_epochs=300)
param_scheduler = dict(milestones=[60, 120, 160, 200, 250])
