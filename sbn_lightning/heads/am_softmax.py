"""AM-Softmax: a softmax over scaled cosines with an additive margin."""

from torch import Tensor

from .normface import NormFaceHead
from .settings import check_at_least
from .true_logit import subtract_margin


class AMSoftmaxHead(NormFaceHead):
    """NormFace with a margin: in training, the true class's cosine is lowered by a fixed number.

        z = scale * cos(x, w_c)
        L = -mean_n log softmax(z_n - scale * margin * onehot(y_n))[y_n]

    Evaluation has no margin; margin 0 is NormFace.
    Source: Wang et al. 2018, arXiv 1801.05599, where scale is called s and margin m; the same loss is called CosFace in
    arXiv 1801.09414.

    Args:
        scale: Multiplier of the cosines, > 0. The paper's settings are (scale, margin) = (7.5, 0.35) and (10, 0.5).
        margin: In cosine units, >= 0.
    """

    title = "AM-Softmax"

    def __init__(self, num_features: int, num_classes: int, scale: float = 7.5, margin: float = 0.35) -> None:
        super().__init__(num_features, num_classes, scale)
        check_at_least(0, margin=margin)
        self.margin = margin

    def with_margin(self, logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """(N, C) -> (N, C): logits - scale * margin * onehot(labels)."""
        return subtract_margin(logits, labels, self.scale * self.margin)
