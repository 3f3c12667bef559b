"""KD on the queries of DETR, Deformable DETR, DINO and relatives."""

method = dict(
    distillers=dict(
        query=dict(
            type='QueryDistiller',
            losses=dict(
                loss_class=dict(type='QueryKDLoss'),
                loss_box=dict(type='QueryBoxLoss'),
            ),
        )
    )
)
