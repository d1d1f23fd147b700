"""Exact nearest neighbors on torch."""

from imblearn_eos.neighbors._nearest_neighbors import TorchNearestNeighbors

__all__ = ["TorchNearestNeighbors"]
