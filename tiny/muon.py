"""Muon: momentum whose matrix updates are orthogonalized (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any


class Muon:
    """Steps matrices of equal shape together, in bf16; Nesterov momentum 0.95."""

    def __init__(self, matrices: list[Any], rate: float, momentum: float = 0.95) -> None:
        import torch

        groups: dict[tuple[int, ...], list[Any]] = defaultdict(list)
        for matrix in matrices:
            groups[tuple(matrix.shape)].append(matrix)
        self.groups = list(groups.values())
        self.buffers = [torch.zeros(len(group), *group[0].shape, device=group[0].device) for group in self.groups]
        self.rate, self.momentum = rate, momentum

    def step(self, rate: float) -> None:
        import torch

        with torch.no_grad():
            for group, buffer in zip(self.groups, self.buffers, strict=True):
                gradients = torch.stack([matrix.grad for matrix in group])
                buffer.lerp_(gradients, 1 - self.momentum)
                update = orthogonalize(gradients.lerp(buffer, self.momentum))
                rows, columns = update.shape[1:]
                scale = rate * max(1.0, rows / columns) ** 0.5
                for matrix, change in zip(group, update, strict=True):
                    matrix.mul_(1 - 0.01 * rate).sub_(change.to(matrix.dtype), alpha=scale)

    def state(self) -> list[Any]:
        return self.buffers

    def load_state(self, buffers: list[Any]) -> None:
        self.buffers = buffers


def orthogonalize(matrices: Any, steps: int = 5) -> Any:
    """Push all singular values of each matrix [n, rows, columns] towards 1 by a quintic Newton–Schulz iteration."""
    a, b, c = 3.4445, -4.775, 2.0315
    x = matrices.bfloat16()
    turned = x.shape[1] > x.shape[2]
    if turned:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if turned else x
