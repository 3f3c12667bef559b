"""AT: Conv4 -> Conv4 on Omniglot, 5 shots."""

_base_ = ['_base_/at.py', '_base_/conv4_5w5s_omniglot.py']
model = _base_.pop('method')
