"""EmbeddingModel: a backbone that outputs an embedding instead of classes."""

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from kd_det.checks import check_count
from kd_det.errors import UserError
from kd_det.functional._common import safe_normalize
from kd_det.registry import MODELS


class EmbeddingHead(nn.Module):
    """Turn the last feature map into an embedding.

    Args:
        in_channels: Channels of the pooled features; required with
            ``embed_dims``.
        embed_dims: Width of a linear layer with bias after the pooling; None
            (default) for no layer.
        normalize: Whether to L2-normalise embeddings.
        pool: Whether to average over the feature map; otherwise it is
            flattened.

    Raises:
        UserError: ``embed_dims`` is given without ``in_channels``.
    """

    def __init__(
        self,
        in_channels: int | None = None,
        embed_dims: int | None = None,
        normalize: bool = False,
        pool: bool = True,
    ) -> None:
        super().__init__()
        if embed_dims is not None and in_channels is None:
            raise UserError(
                f'EmbeddingModel has embed_dims={embed_dims!r} and no '
                "in_channels; write the backbone's channels, e.g. "
                'in_channels=512 for ResNet-18.'
            )
        if embed_dims is not None:
            check_count('EmbeddingModel', 'embed_dims', embed_dims, 1)
        self.embed_dims = embed_dims
        self.normalize = normalize
        self.pool = pool
        self.fc = nn.Identity()
        if embed_dims is not None:
            self.fc = nn.Linear(in_channels, embed_dims)

    def forward(self, feats: tuple) -> Tensor:
        """Return embeddings (N, D) of the backbone's features."""
        x = feats[-1] if isinstance(feats, (tuple, list)) else feats
        if self.pool and x.ndim == 4:
            x = x.mean((2, 3))
        x = self.fc(x.flatten(1))
        if self.normalize:
            # at least float32, since norms overflow float16
            x = safe_normalize(x if x.dtype == torch.float64 else x.float())
        return x


@MODELS.register_module()
class EmbeddingModel(BaseModel):
    """A network that maps similar images to nearby embeddings.

    ``tensor`` returns embeddings (N, D), ``predict`` data samples with
    ``pred_embed``, and ``loss`` the loss of embeddings and labels. Leave the
    loss out for a student that learns only from its teacher.

    Args:
        backbone: Config of the backbone; its last output is used.
        in_channels: See :class:`EmbeddingHead`.
        embed_dims: See :class:`EmbeddingHead`.
        normalize: See :class:`EmbeddingHead`.
        pool: See :class:`EmbeddingHead`.
        loss: Config of a loss of embeddings (N, D) and labels (N,), such as
            :class:`TripletLoss` or :class:`PrototypeLoss`.
        data_preprocessor: As in MMPretrain.

    Example:
        >>> model = dict(
        ...     type='kd_det.EmbeddingModel',
        ...     backbone=dict(type='mmpretrain.ResNet', depth=18),
        ...     in_channels=512,
        ...     embed_dims=128,
        ...     loss=dict(type='kd_det.TripletLoss'),
        ... )
    """

    def __init__(
        self,
        backbone: dict,
        in_channels: int | None = None,
        embed_dims: int | None = None,
        normalize: bool = False,
        pool: bool = True,
        loss: dict | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        preprocessor = dict(type='mmpretrain.ClsDataPreprocessor')
        preprocessor.update(data_preprocessor or {})
        super().__init__(preprocessor)
        self.backbone = MODELS.build(backbone)
        self.head = EmbeddingHead(in_channels, embed_dims, normalize, pool)
        self.task = MODELS.build(loss) if loss else None

    def extract_feat(self, inputs: Tensor) -> tuple:
        """Return the backbone's features of images (N, C, H, W)."""
        return self.backbone(inputs)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
    ) -> Tensor | list | dict[str, Tensor]:
        """Return embeddings, data samples with them, or losses.

        Args:
            inputs: Images (N, C, H, W), normalised.
            data_samples: Data samples with ``gt_label``, required for a loss.
            mode: ``'tensor'``, ``'predict'`` or ``'loss'``.
        """
        embeddings = self.head(self.extract_feat(inputs))
        if mode == 'tensor':
            return embeddings
        if mode == 'predict':
            samples = data_samples or [BaseDataElement() for _ in embeddings]
            for sample, embedding in zip(samples, embeddings):
                sample.pred_embed = embedding
            return samples
        if mode == 'loss':
            if self.task is None:
                return {}
            return dict(loss=self.task(embeddings, labels_of(data_samples)))
        raise UserError(
            f"mode={mode!r}; accepted are 'tensor', 'predict' and 'loss'."
        )


def labels_of(samples: list | None) -> Tensor:
    """Return the labels (N,) of data samples with one ``gt_label`` each.

    Raises:
        UserError: There are no samples, or one has no label.
    """
    if not samples or any('gt_label' not in sample for sample in samples):
        raise UserError(
            'The loss of EmbeddingModel needs data samples with gt_label; '
            'give train_dataloader a data set with classes and a pipeline '
            'that ends with PackInputs.'
        )
    return torch.cat([sample.gt_label for sample in samples])
