"""A head whose classes are divided among the processes of a training, on PyTorch's own distributed tensors."""
