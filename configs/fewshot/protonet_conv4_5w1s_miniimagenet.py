"""Conv4 by prototypes on miniImageNet, 1 shot."""

_base_ = [
    '_base_/conv4_miniimagenet.py',
    '_base_/miniimagenet_5w1s.py',
    '_base_/recipe_miniimagenet.py',
]
model = dict(loss=dict(shots=1))
