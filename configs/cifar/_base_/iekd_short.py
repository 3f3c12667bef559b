"""`iekd.py` for short runs: inheritance alone, at ten times its weight.

Exploration gains nothing there; see docs/notes/results_classification.md.
"""

_base_ = './iekd.py'
method = dict(
    distillers=dict(
        factor=dict(
            losses=dict(
                _delete_=True,
                loss_inh=dict(type='InheritanceLoss', p=1, loss_weight=500.0),
            )
        )
    )
)
