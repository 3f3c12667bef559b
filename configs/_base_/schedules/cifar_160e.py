"""SGD for 160 epochs at 0.1, divided by 10 after 80 and 120; batch size 128.

The schedule of the IE-KD code, with Nesterov momentum.
"""

_base_ = './cifar_240e.py'
train_cfg = dict(max_epochs=160)
optim_wrapper = dict(optimizer=dict(lr=0.1, nesterov=True))
param_scheduler = dict(milestones=[80, 120])
auto_scale_lr = dict(base_batch_size=128)
