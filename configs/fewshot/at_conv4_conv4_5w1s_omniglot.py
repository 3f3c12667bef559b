"""AT: Conv4 -> Conv4 on Omniglot, 1 shot."""

_base_ = ['_base_/at.py', '_base_/conv4_5w1s_omniglot.py']
model = _base_.pop('method')
