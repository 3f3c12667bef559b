"""AT: Conv4 -> slim Conv4 on Omniglot, 1 shot."""

_base_ = ['_base_/at.py', '_base_/conv4s_5w1s_omniglot.py']
model = _base_.pop('method')
