"""Hard KD++: RegNetY-16GF -> DeiT-B on ImageNet."""

_base_ = ['_base_/hardkdpp.py', '_base_/regnety-16gf_deit-b_nd.py']
model = _base_.pop('method')
