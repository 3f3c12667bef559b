"""`imagenet_100e.py` as the ND scripts have it: with Nesterov momentum."""

_base_ = './imagenet_100e.py'
optim_wrapper = dict(optimizer=dict(nesterov=True))
