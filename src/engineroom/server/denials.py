"""How a refused HTTP request is answered: a page in the site's look for browsers, a line for
programs.
"""

from __future__ import annotations

from starlette.responses import HTMLResponse, PlainTextResponse, Response

from engineroom.errors import AccessDenied
from engineroom.pages import render_message

from .api.problems import problem_of
from .live_site import LiveSite
from .request import Request

API_PREFIX = b"/api/"

TITLES = {
    401: "Who are you?",
    403: "Not for you",
    404: "Not found",
    421: "Not this server",
    426: "A room, not a page",
}


class Denials:
    """Makes the answers. The site lends its title; nothing else of it is shown."""

    def __init__(self, live: LiveSite) -> None:
        self._live = live

    def answer(self, request: Request, denied: AccessDenied) -> Response:
        """The answer that says why, with the status that the error carries."""
        if request.raw_path.startswith(API_PREFIX):
            return problem_of(denied).answer()
        answer: Response
        if any("text/html" in value for value in request.values(b"accept")):
            # Who is not let in does not learn what is kept here.
            site = self._live.current if denied.status == 404 else None
            title = TITLES.get(denied.status, "Not possible")
            text = render_message(title, denied.reason, status=denied.status, site=site)
            answer = HTMLResponse(text, denied.status)
        else:
            answer = PlainTextResponse(denied.reason + "\n", denied.status)
        answer.headers["cache-control"] = "no-store"
        if denied.status == 401:
            answer.headers["www-authenticate"] = "Bearer"
        return answer
