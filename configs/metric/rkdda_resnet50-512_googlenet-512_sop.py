"""RKD-DA: ResNet-50 (512) -> GoogLeNet (512) on SOP."""

_base_ = ['_base_/rkdda.py', '_base_/googlenet_sop.py']
model = dict(student=dict(embed_dims=512), **_base_.pop('method'))
