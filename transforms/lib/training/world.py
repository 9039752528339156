"""The processes that train one network together: which one this is, and what they tell one another."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class World:
    """This process among those that ``torchrun`` started; alone by default.

    Attributes:
      rank: number of this process, from 0; the first one writes and prints.
      size: of the world.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def gathered(self, tensor: Any) -> Any:
        """Returns the rows of all processes, ``[size * n, ...]``, by rank; all have equally many."""
        if self.size == 1:
            return tensor
        import torch
        from torch import distributed

        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        distributed.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    def add(self, tensors: list[Any]) -> None:
        """Adds tensors over all processes, in place."""
        if self.size > 1:
            from torch import distributed

            for tensor in tensors:
                distributed.all_reduce(tensor)

    def told(self, value: Any) -> Any:
        """Returns what the first process has, in every process."""
        if self.size == 1:
            return value
        from torch import distributed

        box = [value]
        distributed.broadcast_object_list(box)
        return box[0]

    def listed(self, value: Any) -> list[Any]:
        """Returns what every process has, by rank."""
        if self.size == 1:
            return [value]
        from torch import distributed

        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value)
        return found


def joined(device: str) -> World:
    """Joins the processes that ``torchrun`` started, on GPU number rank where there are GPUs; alone without it.

    torch itself reads where they meet from what ``torchrun`` left in the environment.
    """
    from torch import distributed

    if not distributed.is_available() or not distributed.is_torchelastic_launched():
        return World()
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    world = World(distributed.get_rank(), distributed.get_world_size())
    if device == "cuda":
        import torch

        torch.cuda.set_device(world.rank % torch.cuda.device_count())
    return world
