"""Hard KD: RegNetY-16GF -> DeiT-B on ImageNet."""

_base_ = ['_base_/hardkd.py', '_base_/regnety-16gf_deit-b.py']
model = _base_.pop('method')
