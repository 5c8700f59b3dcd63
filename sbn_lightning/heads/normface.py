"""NormFace: a softmax over scaled cosines, which the heads with a margin build on."""

from torch import Tensor, nn

from .base import Head, plain_linear
from .cosine import scale_advice, scaled_cosine, unit
from .settings import check_positive


class NormFaceHead(Head):
    """Cosines between features and class weights, times a scale, trained on the cross-entropy of their softmax.

        z = scale * cos(x, w_c),    L = -mean_n log softmax(z_n)[y_n]

    Neither the length of the features nor that of the weights matters: only angles lower the loss. Without the scale,
    cosines are too close together for a softmax, see `cosine.largest_probability`. Source: Wang et al. 2017, arXiv
    1704.06369, where the scale is called l^2, and is fixed or learned; here it is fixed.

    Args:
        scale: Multiplier of the cosines, > 0. More classes need more: see `advice`.
    """

    title = "NormFace"
    class_tensors = ("linear.weight",)

    def __init__(self, num_features: int, num_classes: int, scale: float = 16.0) -> None:
        super().__init__(num_features, num_classes)
        check_positive(scale=scale)
        self.scale = scale
        self.linear = nn.Linear(num_features, num_classes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, C), in [-scale, scale]."""
        return scaled_cosine(features, self.linear.weight, self.scale)

    def embed(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, D), of length 1."""
        return unit(features.to(self.linear.weight.dtype))

    def as_linear(self) -> nn.Linear:
        """Rows scale * w_c / ‖w_c‖, no bias."""
        return plain_linear(self.scale * unit(self.linear.weight))

    @property
    def class_weight(self) -> Tensor:
        """W (C, D), before normalization."""
        return self.linear.weight

    def advice(self, class_counts: Tensor) -> list[str]:
        return scale_advice(self.scale, self.num_classes)
