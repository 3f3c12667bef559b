"""`recipe_nd_cifar100.py` for ShuffleNets and MobileNetV2."""

_base_ = './recipe_nd_cifar100.py'
optim_wrapper = dict(optimizer=dict(lr=0.02))
