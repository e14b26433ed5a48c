"""Serve the viewer to one person's browser: what is asked for, and what is refused.

The page holds text of a dataset and of a model, and other pages may stand open beside it. So a
request by another name than the server's own, or from another page, is refused; so is one without
the token where others can reach the server. The page runs its own script alone, and builds text
nodes of all that it is given.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from durian.errors import DurianError, InputError, one_line
from durian.records import JsonObject
from durian.viewer.marks import MARKED, Mark, ids_file
from durian.viewer.opened import OpenRun, page_rows
from durian.viewer.pictures import Picture
from durian.viewer.view import View, read_view

PAGE = Path(__file__).parent / "page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for "
    "'script'; trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_ROWS = 200  # of a page
LONGEST_BODY = 20_000  # bytes
_KINDS = {".jsonl": "application/x-ndjson", ".parquet": "application/vnd.apache.parquet"}


def make_app(opened: OpenRun, *, host: str, token: str | None) -> ASGIApp:
    """The application for an opened run.

    Args:
        host: the address that is served at.
        token: what a request must bring, where others can reach the server.
    """
    api = _Api(opened)
    routes = [
        Route("/", lambda request: FileResponse(PAGE / "index.html")),
        Route("/view.js", lambda request: FileResponse(PAGE / "view.js")),
        Route("/view.css", lambda request: FileResponse(PAGE / "view.css")),
        Route("/favicon.ico", lambda request: Response(status_code=204)),
        Route("/api/run", api.run),
        Route("/api/page", api.page),
        Route("/api/facets", api.facets),
        Route("/api/sample", api.sample),
        Route("/api/like", api.like),
        Route("/api/charts", api.charts),
        Route("/api/filter", api.filter),
        Route("/api/mark", api.mark, methods=["POST"]),
        Route("/ids{suffix}", api.ids),
        Route("/thumbnail/{place:int}", api.thumbnail),
        Route("/image/{place:int}/{number:int}", api.image),
    ]
    handlers: dict[Any, Callable[[Request, Exception], Response]] = {
        DurianError: _told,
        Exception: _failed,
    }
    return Guard(Starlette(routes=routes, exception_handlers=handlers), host=host, token=token)


def _told(request: Request, error: Exception) -> Response:
    code = 400 if isinstance(error, InputError) else 500
    return JSONResponse({"error": one_line(error)}, status_code=code)


def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"the viewer failed: {one_line(error)}"}, status_code=500)


class _Api:
    """What the page asks for; each method is called in a thread of its own."""

    def __init__(self, opened: OpenRun) -> None:
        self._opened = opened
        self._charts: JsonObject | None = None

    def run(self, request: Request) -> Response:
        return _json(self._opened.described)

    def page(self, request: Request) -> Response:
        places = self._opened.table.places(_view(request))
        start, count = _count(request, "start", len(places)), _count(request, "count", MOST_ROWS)
        shown = places[start : start + count]
        rows = page_rows(self._opened, shown.tolist(), _names(request))
        return _json({"total": len(places), "start": start, "rows": rows})

    def facets(self, request: Request) -> Response:
        table, view, found = self._opened.table, _view(request), []
        for name in _names(request)[:100]:
            # As all other conditions leave them: what another range would bring is seen.
            bins, mask = table.bins(name), table.mask(view.but(name))
            every, missing = bins.counts()
            now, missing_now = bins.counts(mask)
            found.append(
                {
                    "column": name,
                    "edges": bins.edges,
                    "values": bins.values,
                    "all": every,
                    "now": now,
                    "missing": [missing, missing_now],
                }
            )
        return _json({"facets": found})

    def sample(self, request: Request) -> Response:
        # Here: the rewards, which know the rules, load slowly, and the first view needs none.
        from durian.viewer.facts import both_runs, sample_facts
        from durian.viewer.shown import shown_facts

        opened, place = self._opened, self._place(request)
        facts = sample_facts(opened.table, opened.completions, opened.manifest, place)
        found = shown_facts(facts)
        mark = opened.marks[facts.sample_id]
        found["mark"] = None if mark is None else {"verdict": mark.verdict, "note": mark.note}
        both = both_runs(opened.table, place)
        if both is not None and opened.second is not None and opened.table.second is not None:
            manifest, completions = opened.second
            theirs = sample_facts(opened.table.second, completions, manifest, both["place"])
            found["second"] = {**shown_facts(theirs), **both}
        places = opened.table.places(_view(request))
        at = (places == place).nonzero()[0]
        if len(at):
            k = int(at[0])
            found["at"], found["total"] = k, len(places)
            found["previous"] = int(places[k - 1]) if k > 0 else None
            found["next"] = int(places[k + 1]) if k + 1 < len(places) else None
        return _json(found)

    def like(self, request: Request) -> Response:
        from durian.viewer.facts import samples_like

        found = samples_like(self._opened.table, self._place(request))
        return _json({"like": [vars(one) for one in found]})

    def charts(self, request: Request) -> Response:
        from durian.viewer.charts import charts  # here: it loads scipy

        if self._charts is None:
            self._charts = charts(self._opened.table)
        return _json(self._charts)

    def filter(self, request: Request) -> Response:
        return _json(self._opened.as_filter(_view(request)))

    async def mark(self, request: Request) -> Response:
        body = await request.body()
        try:
            if len(body) > LONGEST_BODY:
                raise ValueError("too long")
            held = json.loads(body)
            verdict, note = held.get("verdict"), held.get("note") or ""
            place = held["place"]
            if not isinstance(place, int) or not 0 <= place < len(self._opened.table):
                raise ValueError("no such sample")
            if not isinstance(note, str) or not isinstance(verdict, str | None):
                raise ValueError("a verdict is no text")
        except (ValueError, KeyError, AttributeError, RecursionError) as error:
            return JSONResponse({"error": f"no mark: {one_line(error)}"}, status_code=400)
        clean = [text.encode("utf-8", "replace").decode() for text in (verdict or MARKED, note)]
        mark = None if verdict is None else Mark(*clean)
        await run_in_threadpool(self._set, place, mark)
        return _json({"marked": len(self._opened.marks.items())})

    def _set(self, place: int, mark: Mark | None) -> None:
        self._opened.marks.set(self._opened.table.ids([place])[0], mark)

    def ids(self, request: Request) -> Response:
        suffix = request.path_params["suffix"]
        if suffix not in _KINDS:
            return JSONResponse({"error": "not found"}, status_code=404)
        places = self._opened.table.places(_view(request))
        first = _count(request, "first", len(places))
        content = ids_file(self._opened.table.ids(places[:first]), suffix)
        named = {"content-disposition": f'attachment; filename="ids{suffix}"'}
        return Response(content, media_type=_KINDS[suffix], headers=named)

    def thumbnail(self, request: Request) -> Response:
        return self._picture(request, small=True)

    def image(self, request: Request) -> Response:
        return self._picture(request, small=False)

    def _picture(self, request: Request, *, small: bool) -> Response:
        place, pictures = self._checked(request.path_params["place"]), self._opened.pictures
        row, sample_id = self._row_and_id(place)
        if small:
            found = pictures.thumbnail(row, sample_id)
        else:
            found = pictures.image(row, sample_id, request.path_params["number"])
        if isinstance(found, Picture):
            return Response(found.content, media_type=found.kind)
        return JSONResponse({"error": found}, status_code=404)

    def _row_and_id(self, place: int) -> tuple[int, str]:
        (row,) = self._opened.table.rows([place], ["row", "sample_id"])
        return row["row"], row["sample_id"]

    def _place(self, request: Request) -> int:
        sample_id = request.query_params.get("id")
        if sample_id is not None:
            place = self._opened.table.place_of(sample_id)
            if place is None:
                raise InputError(f"no sample has the id '{one_line(sample_id, longest=80)}'")
            return place
        return self._checked(_count(request, "place", len(self._opened.table) - 1))

    def _checked(self, place: int) -> int:
        if not 0 <= place < len(self._opened.table):
            raise InputError("no such sample")
        return place


def _json(value: Any) -> Response:
    return JSONResponse(value)


def _view(request: Request) -> View:
    return read_view(request.query_params.get("view"))


def _names(request: Request) -> list[str]:
    try:
        names = json.loads(request.query_params.get("columns") or "[]")
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError("columns is no list of names")
    return list(dict.fromkeys(names))


def _count(request: Request, name: str, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return most if name != "start" else 0
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise InputError(f"{name} is no number")
    return min(int(text), most)


class Guard:
    """Refuses what does not come from the viewer's own page; sets the headers of all answers."""

    def __init__(self, app: ASGIApp, *, host: str, token: str | None) -> None:
        self._app, self._token = app, token
        self._names = {host.lower(), *(LOOPBACK if is_loopback(host) else ())}
        self._any_address = not is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse with 403."""
        if scope["type"] != "http":
            return
        request = Request(scope)
        response: ASGIApp = self._app
        if (why := self._why_refused(request)) is not None:
            response = Response(f"refused: {why}\n", status_code=403, media_type="text/plain")
        elif self._token is not None and not self._has_cookie(request):
            response = self._with_token(request)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0].decode() not in HEADERS]
                ours = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
                message["headers"] = [*kept, *ours]
            await send(message)

        await response(scope, receive, with_headers)

    def _why_refused(self, request: Request) -> str | None:
        # A page elsewhere reaches a server on this machine by a name of its own that it lets point
        # here; then the browser sends that name. Or it asks from its own origin; then the browser
        # says so.
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return "the host is not this server's"
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != hosts[0].lower():
            return "it comes from another page"
        site, mode = (request.headers.get(f"sec-fetch-{name}") for name in ("site", "mode"))
        if site in ("cross-site", "same-site") and mode != "navigate":
            return "it comes from another page"
        if request.method not in ("GET", "HEAD"):
            kind = request.headers.get("content-type", "").partition(";")[0].strip()
            if request.method != "POST" or kind != "application/json":
                return "it is no question of the viewer's"
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        if not self._any_address:
            return False
        return _is_address(name) or name in (socket.gethostname().lower(), socket.getfqdn().lower())

    def _has_cookie(self, request: Request) -> bool:
        given = request.cookies.get(self._cookie(request), "")
        return secrets.compare_digest(given.encode(), (self._token or "").encode())

    def _with_token(self, request: Request) -> Response:
        given = request.query_params.get("token", "")
        if not secrets.compare_digest(given.encode(), (self._token or "").encode()):
            return Response(
                "refused: open the address that durian view printed, with its token\n",
                status_code=403,
                media_type="text/plain",
            )
        rest = [(k, v) for k, v in request.query_params.multi_items() if k != "token"]
        there = request.url.path + (f"?{urlencode(rest)}" if rest else "")
        # A path like //elsewhere would lead to another server.
        answer = RedirectResponse("/" + there.lstrip("/"), status_code=303)
        answer.set_cookie(
            self._cookie(request), self._token or "", httponly=True, samesite="lax", path="/"
        )
        return answer

    @staticmethod
    def _cookie(request: Request) -> str:
        return f"durian_view_{request.url.port or 80}"  # cookies do not tell ports apart


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
