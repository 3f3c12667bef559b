"""AT: Conv4 -> Conv4 on miniImageNet, 5 shots."""

_base_ = ['_base_/at.py', '_base_/conv4_5w5s_miniimagenet.py']
model = _base_.pop('method')
