"""`rkdd.py` on embeddings of length 1, as in `rkd_rkd.py`."""

_base_ = './rkdd.py'
method = dict(
    distillers=dict(
        logit=dict(
            losses=dict(
                loss_rkd_d=dict(normalize=True),
            )
        )
    )
)
