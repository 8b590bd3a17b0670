"""Django and the rooms in one ASGI application: /collab is the rooms', all else is Django's.

daphne notes.asgi:application
"""

import os
from importlib import import_module

from django.conf import settings
from django.contrib.auth import aget_user
from django.core.asgi import get_asgi_application
from django.http import HttpRequest

import engineroom
from engineroom import Access, AccessDenied, Address, Allowed, User

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notes.settings")
django_application = get_asgi_application()

PREFIX = "/collab"
Sessions = import_module(settings.SESSION_ENGINE).SessionStore


async def authorize(request: engineroom.Request, address: Address) -> Allowed:
    """Who the user of this browser's session is, and what it may do in the room at `address`."""
    known = HttpRequest()
    known.session = Sessions(request.cookie(settings.SESSION_COOKIE_NAME))
    user = await aget_user(known)
    if not user.is_authenticated:
        raise AccessDenied("Log in first.", 401)
    return Allowed(Access(write=user.is_staff), User(str(user.pk), user.get_username()))


collab = engineroom.Application(data="documents", authorize=authorize)


async def application(scope, receive, send):
    """By path. Django has no use for a lifespan; the rooms open with it, or at the first request."""
    if scope["type"] == "lifespan":
        await collab(scope, receive, send)
    elif scope["path"].startswith(PREFIX + "/"):
        below = {**scope, "root_path": scope.get("root_path", "") + PREFIX}
        await collab(below, receive, send)
    else:
        await django_application(scope, receive, send)
