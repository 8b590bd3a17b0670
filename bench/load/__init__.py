"""The load: many Yjs members in one process of its own, on sockets that cost little."""
