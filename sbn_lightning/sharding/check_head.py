"""Whether a head's classes can be divided among processes."""

import torch
from torch.func import functional_call

from sbn_lightning.errors import UsageError
from sbn_lightning.heads.base import Head
from sbn_lightning.sharding.tensors import classes_of


def check_head(head: Head, num_processes: int) -> None:
    """Refuse a head whose classes cannot be divided among processes.

    Raises:
        UsageError: If the head does not name its tensors with a row for each class, if it has other parameters or a
            loss of its own, if it does not compute each class from its own rows, or if a process would have no class.
    """
    of_each = classes_of(head.num_classes, num_processes)
    if 0 in of_each:
        raise UsageError(
            f"{head.num_classes} classes cannot be divided among {num_processes} processes so that each has some; use "
            "fewer processes (--trainer.devices), or leave out --trainer.strategy"
        )
    if reason := why_undivided(head, of_each[0]):
        raise UsageError(
            f"the classes of {type(head).__name__} cannot be divided among processes: {reason}; choose SoftmaxHead, "
            "for example, or leave out --trainer.strategy"
        )


def why_undivided(head: Head, count: int) -> str:
    """Return why a head's classes cannot be divided, or an empty text if they can; tried with some of them.

    Args:
        head: The head; it is not changed.
        count: How many of its first classes are tried.
    """
    tensors = dict([*head.named_parameters(), *head.named_buffers()])
    if type(head).loss is not Head.loss:
        return "its loss is more than the cross-entropy of its logits"
    if not head.class_tensors:
        return "it does not say which of its tensors have a row for each class (class_tensors)"
    for name in head.class_tensors:
        if name not in tensors or tensors[name].shape[:1] != (head.num_classes,):
            return f"its class_tensors name {name}, which is not a tensor with a row for each of its classes"
    for name, _ in head.named_parameters():
        if name not in head.class_tensors:
            return f"its parameter {name} does not belong to one class"
    part = {name: tensor[:count] if name in head.class_tensors else tensor for name, tensor in tensors.items()}
    weight = tensors[head.class_tensors[0]]
    features = torch.linspace(0, 1, 2 * head.num_features, dtype=weight.dtype, device=weight.device).view(2, -1)
    was_training = head.training
    head.eval()  # in which nothing changes its buffers
    try:
        with torch.no_grad():
            logits, of_part = head(features)[:, :count], functional_call(head, part, (features,))
    except Exception as error:  # a head of the user's own may raise anything here
        return f"it does not compute some classes from their rows of class_tensors alone ({error})"
    finally:
        head.train(was_training)
    tolerance = 0.01 * float(logits.abs().max())  # rounding differs by less, even in bfloat16
    if of_part.shape != logits.shape or not torch.allclose(of_part, logits, rtol=0, atol=tolerance):
        return "its logits of a class depend on more than the class's rows of class_tensors"
    return ""
