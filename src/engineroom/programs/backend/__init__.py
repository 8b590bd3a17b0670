"""The backend: the owner of engine instances. Here it is an object; on another machine it would be a service.

    backend ──> instance ──> run: one process of the engine, from its start to its end

Knows engine types, runtimes and `protocols/engine.py`. Imports nothing of rooms, values, stores, pages or the server.
"""

from .backend import Backend
from .instance import Changed, Heard, Instance, InstanceInfo, Said, State
from .run import Attachment, Place

__all__ = [
    "Attachment",
    "Backend",
    "Changed",
    "Heard",
    "Instance",
    "InstanceInfo",
    "Place",
    "Said",
    "State",
]
