"""Who is answered: the viewer's own page alone; and what an answer may hold."""

import http.client
import json
from urllib.parse import quote, urlsplit

import polars as pl
import pytest

from tests.viewer.planted import IDS, write_planted
from tests.viewer.served import served


@pytest.fixture(scope="module")
def address(planted):
    with served(planted) as address:
        yield address


@pytest.fixture(scope="module")
def outer(planted):
    """As it is served where others reach it: with a token."""
    with served(planted, host="192.0.2.7", token="let-me-in") as address:
        yield address


def ask(address, path, *, method="GET", body=None, host=None, **headers):
    """Status, headers, body."""
    netloc = urlsplit(address).netloc
    connection = http.client.HTTPConnection(netloc, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"host": host or netloc, **named})
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    return answer.status, answer.headers, found


def test_the_page_and_its_answers_carry_a_policy_that_lets_nothing_else_run(address):
    for path in ("/", "/view.js", "/view.css", "/api/run", "/image/0/0", "/nothing"):
        status, headers, _ = ask(address, path)
        assert status == (404 if path == "/nothing" else 200)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", "", "["]
)
def test_a_name_that_is_not_the_servers_is_refused(address, host):
    status, _, body = ask(address, "/api/run", host=host or " ")
    assert status in (400, 403) and b"planted" not in body


def test_this_machines_own_names_are_answered_also_behind_a_forwarded_port(address):
    for host in ("localhost", "127.0.0.1:9999", "[::1]:80", "LOCALHOST:1"):
        assert ask(address, "/api/run", host=host)[0] == 200


def test_another_pages_request_is_refused(address):
    netloc = urlsplit(address).netloc
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},  # another server of this machine
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"},
        {"sec_fetch_site": "same-site", "sec_fetch_mode": "cors"},
    ):
        status, _, body = ask(address, "/image/0/0", **headers)
        assert (status, body) == (403, b"refused: it comes from another page\n"), headers
    assert ask(address, "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate")[0] == 200
    assert ask(address, "/api/run", origin=f"http://{netloc}")[0] == 200


def test_a_mark_is_set_by_json_of_the_page_alone(address):
    mark = json.dumps({"place": 0, "verdict": "fine"})
    json_kind = {"content_type": "application/json"}
    for method, headers in (("POST", {}), ("POST", {"content_type": "text/plain"}),
                            ("PUT", json_kind), ("DELETE", json_kind)):  # fmt: skip
        assert ask(address, "/api/mark", method=method, body=mark, **headers)[0] == 403
    assert ask(address, "/api/mark", method="POST", body=mark, **json_kind)[0] == 200
    for wrong in ("[", "[]", "{}", '{"place": 99}', '{"place": -1}', '{"place": "0"}',
                  '{"place": 0, "verdict": 3}', "[" * 50_000):  # fmt: skip
        status, _, body = ask(address, "/api/mark", method="POST", body=wrong, **json_kind)
        assert status == 400 and "error" in json.loads(body), wrong
    lone = '{"place": 0, "verdict": "fine", "note": "\\ud800"}'
    assert ask(address, "/api/mark", method="POST", body=lone, **json_kind)[0] == 200


def test_without_its_token_nothing_is_answered_where_others_reach_the_server(outer):
    host = f"192.0.2.7:{urlsplit(outer).port}"
    for path in ("/", "/api/run", "/image/0/0", "/view.js", "/?token=guess", "/api/run?token="):
        status, _, body = ask(outer, path, host=host)
        assert status == 403 and b"token" in body, path
    assert ask(outer, "/api/run", host="evil.example", cookie="durian_view_1=let-me-in")[0] == 403
    status, headers, _ = ask(outer, "/?token=let-me-in&sample=a%26b", host=host)
    assert (status, headers["location"]) == (303, "/?sample=a%26b")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "let-me-in" in cookie
    kept = cookie.partition(";")[0]
    assert ask(outer, "/api/run", host=host, cookie=kept)[0] == 200
    assert ask(outer, "/api/run", host=host, cookie=kept + "x")[0] == 403
    # A way to another server must not come of a path.
    status, headers, _ = ask(outer, "//evil.example/?token=let-me-in", host=host)
    assert not headers.get("location", "/").startswith("//")


@pytest.mark.parametrize(
    "path",
    ["/../manifest.json", "/%2e%2e/%2e%2e/etc/passwd", "/view.js/../../opened.py", "/image/0/..",
     "/image/999/0", "/image/-1/0", "/image/0/99", "/thumbnail/6", "/ids.csv", "/ids/../x",
     "/api/sample?id=nothing", "/api/sample?place=x", "/api/page?start=-1", "/api/page?columns=1",
     "/api/page?view=%5B", "/api/page?count=" + "9" * 400,
     "/api/facets?columns=" + quote('["problem"]'),
     "/api/page?columns=" + quote('["../../etc/passwd"]')],
)  # fmt: skip
def test_what_is_not_there_is_one_line(address, path):
    status, _, body = ask(address, path)
    assert status in (400, 404) and len(body) < 500 and b"Traceback" not in body


def test_a_page_of_rows_is_never_longer_than_asked_for_and_allowed(address):
    rows = json.loads(ask(address, "/api/page?count=4")[2])["rows"]
    assert len(rows) == 4
    assert len(json.loads(ask(address, "/api/page?count=100000")[2])["rows"]) == 6


def test_the_run_and_its_dataset_are_as_they_were(tmp_path):
    run = write_planted(tmp_path)
    # To the byte, and nothing beside.
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with served(run) as address:
        for path in ("/api/run", "/api/page", "/api/sample?place=1", "/api/like?place=1",
                     "/api/charts", "/image/0/0", "/thumbnail/0", "/ids.parquet"):  # fmt: skip
            assert ask(address, path)[0] == 200, path
        mark = json.dumps({"place": 0, "verdict": "fine"})
        kind = {"content_type": "application/json"}
        assert ask(address, "/api/mark", method="POST", body=mark, **kind)[0] == 200
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_images_are_of_the_dataset_and_of_the_sample_itself(address, planted, tmp_path):
    status, headers, body = ask(address, "/image/2/0")
    assert (status, headers["content-type"]) == (200, "image/png") and body[:4] == b"\x89PNG"
    assert ask(address, "/thumbnail/2")[1]["content-type"] == "image/jpeg"
    rows = planted.parent / "rows.parquet"
    (tmp_path / "other.parquet").write_bytes(rows.read_bytes())
    pl.read_parquet(rows).reverse().write_parquet(tmp_path / "other.parquet")
    with served(planted, dataset=str(tmp_path / "other.parquet")) as other:
        status, _, body = ask(other, "/image/0/0")
        assert status == 404 and b"another sample in this row" in body and b"--dataset" in body


def test_a_dataset_that_is_gone_is_named_with_the_way_out(tmp_path):
    run = write_planted(tmp_path)
    (tmp_path / "rows.parquet").rename(tmp_path / "moved.parquet")
    with served(run) as address:
        status, _, body = ask(address, "/image/0/0")
        assert status == 404
        assert b"no such file or folder" in body and b"pass --dataset" in body
        # All else is there.
        assert json.loads(ask(address, "/api/sample?place=0")[2])["sample_id"] == IDS[0]
    with served(run, dataset=str(tmp_path / "moved.parquet")) as address:
        assert ask(address, "/image/0/0")[0] == 200
