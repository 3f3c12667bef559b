"""`at-rkd.py` on embeddings of length 1, as in `rkd_rkd.py`."""

_base_ = './at-rkd.py'
method = dict(
    distillers=dict(
        logit=dict(
            losses=dict(
                loss_rkd_d=dict(normalize=True),
                loss_rkd_a=dict(normalize=True),
            )
        )
    )
)
