"""SGD for 160 epochs at 0.1, a tenth after 80 and 120: batches of 128.

What the code of IE-KD trains with: Nesterov momentum.
"""

_base_ = './cifar_240e.py'
train_cfg = dict(max_epochs=160)
optim_wrapper = dict(optimizer=dict(lr=0.1, nesterov=True))
param_scheduler = dict(milestones=[80, 120])
auto_scale_lr = dict(base_batch_size=128)
