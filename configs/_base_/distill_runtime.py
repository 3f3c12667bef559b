"""`default_runtime.py` with the hooks of a pair, `distill_hooks.py`."""

_base_ = ['./default_runtime.py', './distill_hooks.py']
custom_hooks = [*_base_.pop('distill_hooks'), *_base_.custom_hooks]
