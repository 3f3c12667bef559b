"""`cifar_240e.py` as in the ND scripts: Nesterov, 0.1, batch size 128.

They use 0.02 for ShuffleNets and MobileNetV2.
"""

_base_ = './cifar_240e.py'
optim_wrapper = dict(optimizer=dict(lr=0.1, nesterov=True))
auto_scale_lr = dict(base_batch_size=128)
