"""AutoKD's own sampler: costs are known before training, so what is trained next is chosen by what it may add."""

from autokd.samplers.cost_aware import CostAwareSampler

__all__ = ["CostAwareSampler"]
