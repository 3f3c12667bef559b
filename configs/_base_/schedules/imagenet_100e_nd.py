"""`imagenet_100e.py` as in the ND scripts: with Nesterov momentum."""

_base_ = './imagenet_100e.py'
optim_wrapper = dict(optimizer=dict(nesterov=True))
