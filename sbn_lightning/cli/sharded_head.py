"""Settings that cannot work with a head that is divided among processes are refused before the training starts."""

from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging

from sbn_lightning.cli.checks import building
from sbn_lightning.cli.messages import at
from sbn_lightning.sharding.check_head import check_head
from sbn_lightning.sharding.strategy import ShardedHeadStrategy


def check_sharded_head(trainer: Trainer, model: LightningModule, config: Namespace) -> None:
    """Refuse settings that ShardedHeadStrategy cannot carry out, if it is chosen.

    Whether an optimizer can train a divided head is found out later, by a step: see `ShardedHead.check_optimizer`.
    """
    if not isinstance(trainer.strategy, ShardedHeadStrategy):
        return
    settings = config.trainer
    with building("trainer.strategy"):
        check_head(model.head, trainer.num_devices * trainer.num_nodes)
    if settings.sync_batchnorm:
        raise at("trainer.sync_batchnorm", "it cannot be used with a divided head; set it to false")
    if settings.detect_anomaly:
        raise at("trainer.detect_anomaly", "torch cannot look for NaN in the gradients of a divided head; leave it out")
    if trainer.precision == "16-mixed":
        raise at("trainer.precision", "16-mixed cannot be used with a divided head; set it to bf16-mixed")
    for callback in trainer.callbacks:
        if isinstance(callback, StochasticWeightAveraging | WeightAveraging):
            text = f"{type(callback).__name__} cannot average the weights of a divided head; leave it out"
            raise at("trainer.callbacks", text)
    optimizer = (config.get("optimizer") or Namespace()).get("init_args") or Namespace()
    for name in ("fused", "foreach"):
        if optimizer.get(name):
            text = "it cannot train a divided head and a backbone that is not; set it to false"
            raise at(f"optimizer.{name}", text)
