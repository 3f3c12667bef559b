"""Conv4 by prototypes on miniImageNet, 5 shots."""

_base_ = [
    '_base_/conv4_miniimagenet.py',
    '_base_/miniimagenet_5w5s.py',
    '_base_/recipe_miniimagenet.py',
]
model = dict(loss=dict(shots=5))
