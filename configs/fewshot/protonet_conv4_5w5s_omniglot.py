"""Conv4 by prototypes on Omniglot, 5 shots."""

_base_ = [
    '_base_/conv4_omniglot.py',
    '_base_/omniglot_5w5s.py',
    '_base_/recipe_omniglot.py',
]
model = dict(loss=dict(shots=5))
