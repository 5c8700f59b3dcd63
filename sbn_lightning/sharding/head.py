"""A head of very many classes on several processes, each of which has the weights of some classes only."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.distributed.tensor.parallel import loss_parallel
from torch.func import functional_call
from torch.linalg import vector_norm
from torch.nn.parallel import DistributedDataParallel

from sbn_lightning.errors import UsageError
from sbn_lightning.heads.all_devices import whole_batch
from sbn_lightning.heads.base import Head
from sbn_lightning.sharding.check_head import check_head
from sbn_lightning.sharding.tensors import classes_of, divided, own_part, whole


class ShardedHead:
    """Computes a head whose classes are divided among k processes.

    Each process computes the backbone's features of its part of a batch, and gathers those of the whole batch (N, D).
    From these, the head computes the logits of the process's own classes (N, C/k), by the same code as on one process.
    Together they are a tensor (N, C) that is divided along its classes. torch's `loss_parallel` computes its
    cross-entropy, and exchanges N numbers each for the largest logits, the sums of exponentials and the logits of the
    labels. Each process receives the whole batch's gradients of its own weights and of its own images' features.

    The parameters and buffers that are named in `head.class_tensors` are replaced by DTensors, divided along their
    first dimension: each process keeps C/k of their rows, and as many of the optimizer's state.

    All methods are collectives: every process must call them, in the same order.

    Args:
        head: The head; all processes hold the same.
        device: That of this process.

    Raises:
        UsageError: If the head cannot be divided, see `check_head`.
    """

    def __init__(self, head: Head, device: torch.device) -> None:
        self.num_processes, self.rank = dist.get_world_size(), dist.get_rank()
        check_head(head, self.num_processes)
        self.head = head
        self.device = device
        self.backbone: Any = None  # for the training, see `replicate`
        self._mesh = init_device_mesh(device.type, (self.num_processes,), mesh_dim_names=("classes",))
        self._hosts: Any = dist.new_group(backend="gloo")  # so that no host waits for its GPU
        self._classes = classes_of(head.num_classes, self.num_processes)
        for name in head.class_tensors:
            path, _, key = name.rpartition(".")
            module = head.get_submodule(path)
            tensor = getattr(module, key)
            own: Tensor = divided(tensor, self._mesh, device)
            if isinstance(tensor, nn.Parameter):
                own = nn.Parameter(own, tensor.requires_grad)
            setattr(module, key, own)

    def replicate(self, backbone: nn.Module) -> None:
        """Set `self.backbone` to one that computes the same, and whose gradients are those of all processes."""
        self.backbone = backbone
        if any(parameter.requires_grad for parameter in backbone.parameters()):
            devices = None if self.device.type == "cpu" else [self.device]
            self.backbone = DistributedDataParallel(backbone, device_ids=devices)

    def share_statistics(self, backbone: nn.Module) -> None:
        """Give all processes the first one's running statistics, those of checkpoints, as DDP does before a step."""
        for buffer in backbone.buffers():
            dist.broadcast(buffer, 0)

    def logits(self, features: Tensor) -> Tensor:
        """(n, D) -> (n, C): the logits of this process's images, detached; processes may have different numbers."""
        shares = self._shares(len(features))
        with whole_batch():
            logits = self._of_own_classes(self._of_all(features, shares))
        return self._own_images(logits.detach(), shares)

    def evaluated(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of the whole batch, and the logits of this process's images (n, C), detached.

        Args:
            features: (n, D) of this process's images; processes may have different numbers of them.
            labels: (n,) int64.
        """
        shares = self._shares(len(labels))
        # DDP takes the mean of the processes' gradients, but the whole batch's gradient is their sum.
        if features.requires_grad:
            features.register_hook(lambda gradient: gradient * self.num_processes)
        features, labels = self._of_all(features, shares), self._of_all(labels, shares)
        with whole_batch():
            logits = self._of_own_classes(features)
            of_loss = self._with_margin(logits, labels, features) if self.head.training else logits
        # In inference mode, which trainers use on GPUs, torch does not break a loss down into what DTensor can compute.
        with torch.inference_mode(False), loss_parallel():
            loss = whole(F.cross_entropy(self._of_all_classes(of_loss), labels))
        return loss, self._own_images(logits.detach(), shares)

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of a loss that `evaluated` has returned."""
        with loss_parallel():
            loss.backward()

    def clip(self, parameters: Iterable[nn.Parameter], limit: float, algorithm: str) -> None:
        """Clip gradients as torch.nn.utils does, which cannot take divided and whole tensors together.

        Args:
            parameters: All of the backbone and the head.
            limit: The largest absolute value of an element ("value"), or Euclidean norm of all gradients ("norm").
            algorithm: "value" or "norm".
        """
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if algorithm == "value":
            for gradient in gradients:
                own_part(gradient).clamp_(-limit, limit)
            return
        norm = vector_norm(torch.stack([whole(vector_norm(gradient)) for gradient in gradients]))
        for gradient in gradients:
            own_part(gradient).mul_((limit / (norm + 1e-6)).clamp(max=1))

    def check_optimizer(self, build: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer]) -> None:
        """Try a step of an optimizer on a divided parameter and a whole one, as the model has them.

        Raises:
            UsageError: On the first process, if the optimizer cannot make the step, or does not divide its state as the
                parameter is divided, since an element's step depends on others. The other processes exit silently.
        """
        zeros = torch.zeros(2 * self.num_processes, 2, device=self.device)
        parameters = [nn.Parameter(divided(zeros, self._mesh, self.device)), nn.Parameter(zeros)]
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        optimizer = build(parameters)
        try:
            optimizer.step()
            states = [value for value in optimizer.state[parameters[0]].values() if isinstance(value, Tensor)]
            can_train = all(state.dim() == 0 or getattr(state, "placements", ()) == (Shard(0),) for state in states)
        except Exception:  # an optimizer may raise anything here
            can_train = False
        if not can_train:
            if self.rank > 0:
                raise SystemExit(0)
            name = type(optimizer).__name__
            raise UsageError(f"{name} cannot train a head that is divided among processes; choose SGD or AdamW")

    def _shares(self, num_images: int) -> list[int]:
        """Return how many images of the batch each process has."""
        counts = torch.zeros(self.num_processes, dtype=torch.int64)
        counts[self.rank] = num_images
        dist.all_reduce(counts, group=self._hosts)
        return counts.tolist()

    def _of_all(self, rows: Tensor, shares: list[int]) -> Tensor:
        """(n, …) of each process -> (N, …): the rows of all. In the backward pass, their gradients are added up."""
        most = max(shares)
        if len(rows) < most:  # DTensor needs equal parts
            rows = torch.cat([rows, rows.new_zeros(most - len(rows), *rows.shape[1:])])
        gathered = DTensor.from_local(rows, self._mesh, [Shard(0)], run_check=False)
        rows = gathered.redistribute(placements=[Replicate()]).to_local(grad_placements=[Partial()])
        return rows if sum(shares) == len(rows) else rows[self._places(shares)]

    def _of_own_classes(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, C/k): the logits of this process's classes, in float32 or more."""
        named = [*self.head.named_parameters(), *self.head.named_buffers()]
        logits: Tensor = functional_call(self.head, {name: own_part(tensor) for name, tensor in named}, (features,))
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def _places(self, shares: list[int]) -> Tensor:
        """(N,): where the images are if each process's part of them is filled up to the size of the largest part."""
        places = [rank * max(shares) + number for rank, share in enumerate(shares) for number in range(share)]
        return torch.tensor(places, device=self.device)

    def _with_margin(self, logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """(N, C/k) -> (N, C/k): the head's logits of the training loss, for this process's classes."""
        if type(self.head).with_margin is Head.with_margin:
            return logits
        own_labels = labels - sum(self._classes[: self.rank])
        # A label of another process's class gets its margin in a column that is taken away again.
        classes = logits.shape[1]
        own_labels = own_labels.where((own_labels >= 0) & (own_labels < classes), classes)
        logits = torch.cat([logits, logits.new_zeros(len(logits), 1)], 1)
        return self.head.with_margin(logits, own_labels, features)[:, :-1]

    def _of_all_classes(self, logits: Tensor) -> DTensor:
        """(N, C/k) of each process -> (N, C), divided along the classes."""
        shape = torch.Size((len(logits), self.head.num_classes))
        return DTensor.from_local(logits, self._mesh, [Shard(1)], run_check=False, shape=shape, stride=(shape[1], 1))

    def _own_images(self, logits: Tensor, shares: list[int]) -> Tensor:
        """(N, C/k) of each process -> (n, C): all classes, for this process's images."""
        own, classes = shares[self.rank], self._classes
        received = logits.new_empty(own * sum(classes))
        sent_sizes = [share * logits.shape[1] for share in shares]
        received_sizes = [own * count for count in classes]
        dist.all_to_all_single(received, logits.flatten(), received_sizes, sent_sizes)
        parts = zip(received.split(received_sizes), classes, strict=True)
        return torch.cat([part.view(own, count) for part, count in parts], 1)
