"""The head that everything else is compared with."""

from torch import Tensor, nn

from .base import Head, float32_linear, plain_linear


class SoftmaxHead(Head):
    """A linear layer, trained on the cross-entropy of its softmax.

        z = W x + b,    L = -mean_n log softmax(z_n)[y_n],    dL/dz = (p - y) / N

    with y one-hot. The gradient vanishes as p approaches y, and a longer W is enough for that, without better features:
    the paper's argument for normalizing z. Source: Zhu et al. 2020, eqs. 1 and 5-8.
    """

    title = "softmax"
    class_tensors = ("linear.weight", "linear.bias")

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        self.linear = nn.Linear(num_features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        return float32_linear(features, self.linear.weight, self.linear.bias)

    def as_linear(self) -> nn.Linear:
        return plain_linear(self.linear.weight, self.linear.bias)

    @property
    def class_weight(self) -> Tensor:
        return self.linear.weight
