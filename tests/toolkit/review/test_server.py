"""What the review's server answers, and every attack on it that is refused."""

import asyncio
import json
import socket
import threading
import time

import pytest
import uvicorn
from starlette.testclient import TestClient

from reidkit.toolkit.review import guard, server
from reidkit.toolkit.review.judgement import as_built
from reidkit.toolkit.review.views import Views

PORT, TOKEN = 8123, "key"
US = f"http://127.0.0.1:{PORT}"


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The folder of the page, with a file that isn't part of it."""
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "review.js").write_text("1")
    (folder / "secret.txt").write_text("secret")
    monkeypatch.setattr(server, "PAGE", folder)


@pytest.fixture
def application(session, page):
    pages = server.Pages(session, Views(session, as_built(session.material)), "owner")
    return server.app(pages, PORT, TOKEN)


@pytest.fixture
def stranger(application):
    """A client that knows no token."""
    return TestClient(application, base_url=US, follow_redirects=False)


@pytest.fixture
def client(application):
    return TestClient(application, base_url=US, headers={"Authorization": f"Bearer {TOKEN}"}, follow_redirects=False)


def decide(client, *drafts, revision=None, **more):
    revision = client.get("/api/state").json()["revision"] if revision is None else revision
    return client.post("/api/decide", json={"revision": revision, "decisions": list(drafts), **more})


def test_the_key_in_the_address_becomes_a_cookie(stranger):
    answer = stranger.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert stranger.get("/").text == "<!doctype html>"
    assert stranger.get("/api/state").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer kez"}, {"Authorization": "Basic key"}, {"Cookie": "reidkit_review_8123=x"}],
)
def test_nobody_without_the_key(stranger, headers):
    for path in ("/", "/?token=kez", "/api/state", "/static/review.js", "/cover/a.jpg", "/api/changes"):
        answer = stranger.get(path, headers=headers)
        assert answer.status_code == 403
        assert "reidkit review" in answer.json()["error"]
    assert stranger.post("/api/undo", json={}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8123", "127.0.0.1", "127.0.0.1:80", "localhost.evil:8123"]
)
def test_no_other_name_for_this_machine(client, host):
    """DNS rebinding: the browser takes us for evil.example, and sends what it knows of that page."""
    answer = client.get("/api/state", headers={"Host": host})
    assert (answer.status_code, list(answer.json())) == (421, ["error"])
    assert client.get("/", params={"token": TOKEN}, headers={"Host": host}).status_code == 421


def test_localhost_is_our_name_too(client):
    assert client.get("/api/state", headers={"Host": f"localhost:{PORT}"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", f"https://127.0.0.1:{PORT}", "http://127.0.0.1:80"])
def test_no_other_page_decides(client, origin):
    assert client.post("/api/undo", json={}, headers={"Origin": origin}).status_code == 403
    assert client.get("/api/state", headers={"Origin": origin}).status_code == 403


def test_our_page_decides(client):
    draft = {"do": "junk", "tracklets": ["c"]}
    answer = client.post("/api/decide", json={"revision": 0, "decisions": [draft]}, headers={"Origin": US})
    assert answer.json() == {"revision": 1, "changed": [8]}


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_no_page_of_another_port_embeds_us(client, site):
    assert client.get("/cover/a.jpg", headers={"Sec-Fetch-Site": site}).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_no_form_decides(client, kind):
    body = b'{"revision": 0, "decisions": [{"do": "junk", "tracklets": ["c"]}]}'
    assert client.post("/api/decide", content=body, headers={"Content-Type": kind}).status_code == 415


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE"])
def test_two_methods_only(client, method):
    assert client.request(method, "/api/decide").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/static/secret.txt",
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2Fserver.py",
        "/static//etc/passwd",
        "/crop/..%2F..%2Fetc%2Fpasswd/0.jpg",
        "/crop/a/..%2F0.jpg",
        "/crop/a/-1.jpg",
        "/crop/a/5.jpg",
        "/crop/a/99999999999999999999.jpg",
        "/cover/%2e%2e%2f%2e%2e%2fdataset.json.jpg",
        "/cover/%00.jpg",
        "/cover/%ff.jpg",
        "/dataset.json",
        "/api/identity/-1",
        "/api/identity/4",
        "/api/identity/a",
        "/api/timeline/nix",
        "/api/nobody/person",
        "/api/frames/z",
    ],
)
def test_nothing_beside_the_dataset_is_served(client, path):
    answer = client.get(path)
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_a_shard_that_leads_out_of_the_dataset_is_not_read(client, root, tmp_path):
    shard = root / "crops" / "north.tar"
    shard.rename(tmp_path / "outside.tar")
    shard.symlink_to(tmp_path / "outside.tar")
    answer = client.get("/crop/a/0.jpg")
    assert answer.status_code == 500
    assert "lies outside" in answer.json()["error"]


def test_headers_that_keep_a_browser_from_running_what_is_data(client):
    for path in ("/", "/api/state", "/cover/a.jpg", "/nix"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/cover/a.jpg").headers["content-type"] == "image/jpeg"


def test_names_and_captions_stay_data(client):
    script = "<script>alert(1)</script>"
    decide(client, {"do": "identity", "tracklets": ["a", "b"], "identity": 3, "name": script})
    decide(client, {"do": "caption", "tracklets": ["a"], "text": script}, by=script)
    answer = client.get("/api/identity/3")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["name"] == script
    assert answer.json()["tracklets"][1]["captions"] == [
        {"text": script, "captioner": "review", "model": "", "doubts": []}
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"revision": 0}',
        b'{"revision": 0, "decisions": []}',
        b'{"revision": -1, "decisions": [{"do": "junk", "tracklets": ["a"]}]}',
        b'{"revision": 9, "decisions": [{"do": "junk", "tracklets": ["a"]}]}',
        b'{"revision": 0, "decisions": [{"do": "junk"}]}',
        b'{"revision": 0, "decisions": [{"do": "undo", "decision": 1}]}',
        b'{"revision": 0, "decisions": [{"do": "junk", "tracklets": ["nix"]}]}',
        b'{"revision": 0, "decisions": [{"do": "junk", "tracklets": ["a"], "number": 7}]}',
        b'{"revision": 0, "decisions": [{"do": "junk", "tracklets": ["a"]}], "more": 1}',
        b'{"revision": 0, "decisions": [{"do": "split", "tracklets": ["a"], "frame": 99}]}',
        b'{"revision": 0, "decisions": [{"do": "caption", "tracklets": ["a"], "text": "' + b"a" * 10_001 + b'"}]}',
        b'{"revision": 0, "decisions": [{"do": "junk", "tracklets": ["\xff"]}]}',
    ],
)
def test_bodies_that_are_no_decision(client, root, body):
    answer = client.post("/api/decide", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert answer.json()["error"].isprintable()
    assert not (root / "decisions.jsonl").exists()


def test_conflicts_and_stale_windows_are_told(client):
    answer = decide(client, {"do": "merge", "tracklets": ["d", "f"]})
    assert answer.status_code == 409
    assert answer.json()["conflict"] == {"tracklets": ["e", "f"]}
    decide(client, {"do": "junk", "tracklets": ["e"]})
    answer = decide(client, {"do": "junk", "tracklets": ["d"]}, revision=0)
    assert (answer.status_code, answer.json()["stale"]) == (409, True)


def test_undo_and_redo(client, session):
    assert client.post("/api/undo", json={}).json() == {"error": "There is nothing to undo."}
    decide(client, {"do": "junk", "tracklets": ["c"]})
    assert client.get("/api/state").json()["progress"]["can_undo"]
    assert client.post("/api/undo", json={"by": "berta"}).json() == {"revision": 2, "changed": [8]}
    assert client.get("/api/state").json()["progress"]["can_redo"]
    assert client.post("/api/redo", json={}).json() == {"revision": 3, "changed": [8]}
    assert client.post("/api/redo", json={}).status_code == 409
    assert [d.by for d in session.decisions] == ["owner", "berta", "owner"]


def test_what_the_page_is_shown(client):
    state = client.get("/api/state").json()
    assert state["events"] == [
        {"name": "final", "start": 1.0, "end": 2.0, "cameras": ["east", "north"]},
        {"name": "heat", "start": 1.0, "end": 2.0, "cameras": ["east", "north", "west"]},
    ]
    assert [one["identity"] for one in state["identities"]] == [3, 5, 6, 8]
    assert state["nobody"] == {"junk": 1, "distractor": 1}
    assert state["progress"]["identities"] == 4
    one = client.get("/api/identity/5").json()
    assert [(t["id"], t["camera"], t["crops"], t["frames"]) for t in one["tracklets"]] == [
        ("e", "east", 5, [0, 4]),
        ("d", "west", 5, [0, 4]),
    ]
    assert [t["id"] for t in client.get("/api/nobody/junk").json()["tracklets"]] == ["h"]
    cameras = client.get("/api/timeline/heat").json()["cameras"]
    assert [(camera["name"], [t["id"] for t in camera["tracks"]]) for camera in cameras] == [
        ("east", ["e", "f", "h"]),
        ("north", ["g"]),
        ("west", ["d", "i"]),
    ]


def test_crops_of_a_part(client, session):
    decide(client, {"do": "split", "tracklets": ["e"], "frame": 3})
    assert client.get("/api/frames/e~3").json() == {"frames": [3, 4]}
    assert client.get("/api/frames/e").json() == {"frames": [0, 1, 2]}
    answer = client.get("/crop/e~3/1.jpg")
    assert answer.headers["x-frame"] == "4"
    assert answer.content == session.material.crop("e", 4)
    assert client.get("/crop/e/3.jpg").status_code == 404
    assert client.get("/cover/e~3.jpg").content[:2] == b"\xff\xd8"


# Over a real socket: what the server does before the application is asked.


@pytest.fixture
def address(application, monkeypatch):
    """Host and port of a running server, which has half a second's patience."""
    monkeypatch.setattr(guard.PatientProtocol, "patience", 0.5)
    application._patience = 0.5
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    application._hosts = {f"127.0.0.1:{port}"}
    config = uvicorn.Config(
        application, http=guard.PatientProtocol, ws="none", lifespan="off", log_level="error", access_log=False
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[listener])))
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield "127.0.0.1", port
    running.should_exit = True
    thread.join()
    listener.close()


def head(port, **more):
    lines = {"Host": f"127.0.0.1:{port}", "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"} | more
    return "".join(f"{name}: {value}\r\n" for name, value in lines.items())


def received(connection):
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def test_a_large_body_is_refused_before_it_is_sent(address):
    with socket.create_connection(address, timeout=20) as connection:
        size = 100 << 20
        request = f"POST /api/decide HTTP/1.1\r\n{head(address[1], **{'Content-Length': size})}\r\n"
        connection.sendall(request.encode())
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_body_that_grows_is_cut_off(address):
    with socket.create_connection(address, timeout=20) as connection:
        request = f"POST /api/decide HTTP/1.1\r\n{head(address[1], **{'Transfer-Encoding': 'chunked'})}\r\n"
        connection.sendall(request.encode())
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        with pytest.raises(OSError):
            connection.sendall(chunk * (100 << 4))


@pytest.mark.parametrize("begun", ["", "POST /api/decide HTTP/1.1\r\nHost: 127", "{head}"])
def test_a_slow_client_is_let_go(address, begun):
    """One that connects and says nothing, stops in the head, or in the body."""
    whole = f"POST /api/decide HTTP/1.1\r\n{head(address[1], **{'Content-Length': 100})}\r\n{{"
    begun = whole if begun == "{head}" else begun
    began = time.monotonic()
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(begun.encode())
        answer = received(connection)
    assert time.monotonic() - began < 15
    assert answer == b"" or b" 408 " in answer.partition(b"\r\n")[0]


def test_changes_are_streamed(address, session):
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(f"GET /api/changes?since=0 HTTP/1.1\r\n{head(address[1])}\r\n".encode())
        data = connection.recv(65536)
        session.decide(0, "anna", [server.Draft("junk", ("c",))])
        while b"data: " not in data:
            data += connection.recv(65536)
    line = data[data.index(b"data: ") :].split(b"\n")[0]
    assert json.loads(line[6:]) == {"revision": 1, "by": "anna", "text": "1 tracklet went to junk.", "identities": [8]}


def test_the_answer_is_of_the_revision_that_the_decision_made(client, session, monkeypatch):
    take = session.decide

    def overtaken(*asked):
        change = take(*asked)
        take(change.revision, "berta", [server.Draft("junk", ("a",))])
        return change

    monkeypatch.setattr(session, "decide", overtaken)
    answer = decide(client, {"do": "junk", "tracklets": ["c"]})
    assert answer.json() == {"revision": 1, "changed": [8]}
