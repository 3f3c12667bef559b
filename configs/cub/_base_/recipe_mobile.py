"""`recipe.py` for ShuffleNets and MobileNetV2."""

_base_ = './recipe.py'
optim_wrapper = dict(optimizer=dict(lr=0.01))
