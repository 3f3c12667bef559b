"""Triplet loss with negatives drawn by distance, on normalised embeddings."""

method = dict(
    normalize=True,
    loss=dict(type='kd_det.TripletLoss', margin=0.2, mining='distance'),
)
