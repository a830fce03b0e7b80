"""Muon: momentum whose matrix update is orthogonalised, so that every direction learns at the same pace."""

import torch


def _orthogonal(g: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Nearest orthogonal matrices of a stack (Newton-Schulz, quintic), in the stack's own precision."""
    wide = g.mT if g.size(-2) > g.size(-1) else g
    x = wide / (wide.norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315) @ x
    return x.mT if g.size(-2) > g.size(-1) else x


class Muon(torch.optim.Optimizer):
    """For hidden matrices only; the step is scaled to the root mean square that AdamW's would have."""

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for p in group["params"]:
                by_shape.setdefault(p.shape, []).append(p)
            for shape, params in by_shape.items():
                updates = []
                for p in params:
                    assert p.grad is not None
                    m = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    m.lerp_(p.grad, 1 - group["momentum"])
                    updates.append(torch.lerp(p.grad, m, group["momentum"]))
                scale = group["lr"] * 0.2 * max(shape) ** 0.5
                for p, u in zip(params, _orthogonal(torch.stack(updates)), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(u, alpha=-scale)
