"""The HTTP API below `/api/`: documents read and changed by programs that hold no WebSocket.

    problems      every refusal, as `application/problem+json` with a stable code
    asked         what a request asks for: address, rights, body; nothing is trusted, all is bounded
    representing  which form of a document the client wants, and what it has already (ETags)
    reading       a document's roots as JSON or plain text
    operations    the operations of PATCH: their shapes, and how they change a document
    building      JSON that becomes shared types
    desk          what is done to documents: the one place here that touches rooms and the store
    documents     the routes
    keys          `Idempotency-Key`s, remembered on disk for a day
    description   the OpenAPI document, made from the structs above

HTTP starts nothing: a document is read from its room, which is opened without its programs and closes at once when
nobody else is in it.
"""
