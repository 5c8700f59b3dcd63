"""A picture of what the network is trained on."""

from lightning.pytorch import Callback, LightningModule, Trainer

from sbn_lightning.callbacks.dashboard import add_picture, summary_writer
from sbn_lightning.figures import draw_images

SHOWN = 20


class TrainingBatch(Callback):
    """Show images of the first training batch with their labels, as the model gets them: cropped and mirrored.

    They are taken out by a loader of its own, which gives the same batch: training is as without this callback. Of
    several processes, the first shows its part of the batch.

    Tags, once, before the first step:
        pictures/training_batch: The first 20 images.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        writer, data = summary_writer(trainer), trainer.datamodule
        if writer is None or trainer.global_step > 0:
            return
        batch = data.transfer_batch_to_device(next(iter(data.train_dataloader())), pl_module.device, 0)
        images, labels = data.on_after_batch_transfer(batch, 0)
        captions = [data.class_names[label] for label in labels[:SHOWN].tolist()]
        title = "First training batch, as the network sees it"
        augmented = f"{len(captions)} of {data.batch_size} images; augmentation: {data.augmentation or 'none'}"
        figure = draw_images(images[:SHOWN].cpu().numpy(), captions, title, augmented)
        add_picture(writer, "pictures/training_batch", figure, step=0)
