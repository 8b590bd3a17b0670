"""The fabric: how several nodes act as one. `local` is the fabric of one node, in its process."""

from engineroom.fabric.local import LocalFabric

__all__ = ["LocalFabric"]
