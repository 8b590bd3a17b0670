"""Webhooks: others are told by HTTP that documents changed, were created or deleted, that members came and went.

    subscription   what an operator states: where to, which rooms, which events
    signing        how a delivery proves that it is ours
    queue          what is to be delivered, on disk: it survives a restart and a SIGKILL
    watching       what happens in rooms, gathered into events
    courier        delivers what is due, again and again, until it is taken or given up
    opening        all of it, opened and closed with a server

What is promised: at least once. A change is told when it is durable; what a crash kept from being queued is found at
the next start, where documents are newer than what was told of them. An event says what happened, never what a
document holds.
"""
