"""BCKD on a one-stage detector's head; the weights of GFL."""

method = dict(
    distillers=dict(
        dense=dict(
            type='DenseDistiller',
            losses=dict(
                loss_class=dict(type='BCKDClassLoss'),
                loss_box=dict(type='BCKDBoxLoss', loss_weight=4.0),
            ),
        )
    )
)
