"""RKD-DA: ResNet-50 (512) -> ResNet-18 (64) on SOP."""

_base_ = ['_base_/rkdda.py', '_base_/resnet18_sop.py']
model = dict(student=dict(embed_dims=64), **_base_.pop('method'))
