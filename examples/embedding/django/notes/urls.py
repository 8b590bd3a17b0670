"""Two pages of Django's own: who is logged in, and the way to log in."""

from django.contrib.auth import authenticate, login
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.urls import path
from django.utils.html import format_html

FORM = """<form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="{}">
<input name="username"> <input name="password" type="password"> <button>Log in</button></form>"""


def home(request: HttpRequest) -> HttpResponse:
    """Who is here."""
    return HttpResponse(format_html("You are {}.", request.user.get_username() or "nobody"))


def log_in(request: HttpRequest) -> HttpResponse:
    """A form, and what becomes of it."""
    if request.method == "POST":
        stated = {name: request.POST.get(name, "") for name in ("username", "password")}
        user = authenticate(request, **stated)
        if user is not None:
            login(request, user)
            return HttpResponse("Welcome.")
    return HttpResponse(format_html(FORM, get_token(request)))


urlpatterns = [path("", home), path("login/", log_in)]
