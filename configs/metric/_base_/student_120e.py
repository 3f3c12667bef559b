"""`student_80e.py` for SOP: 120 epochs, lower rates from 40 and 80 on."""

_base_ = './student_80e.py'
train_cfg = dict(max_epochs=120)
param_scheduler = dict(milestones=[39, 79])
