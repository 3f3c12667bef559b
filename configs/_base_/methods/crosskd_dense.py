"""CrossKD on a one-stage detector's head; the weights of RetinaNet."""

method = dict(
    distillers=dict(
        dense=dict(
            type='CrossHeadDistiller',
            losses=dict(
                loss_class=dict(type='CrossKDClassLoss'),
                loss_box=dict(type='CrossKDBoxLoss'),
            ),
        )
    )
)
