"""Transfers from a server on the loopback address: broken off, resumed, replaced, refused."""

import errno
import hashlib
import io
import os
import socket

import numpy as np
import pytest
from release_page import File, serving, without_weights

from reidkit.datasets import ReidkitError
from reidkit.training import downloads
from reidkit.training.downloads import finish, transfer

BODY = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
CUT = 120_000


@pytest.fixture(autouse=True)
def no_pause(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.0)
    without_weights(monkeypatch, tmp_path_factory.mktemp("bare"))


def fetched(server, target, **known):
    part, digest = transfer(f"{server.address}/m.pt", target, **known)
    finish(part, target)
    assert digest == hashlib.sha256(target.read_bytes()).hexdigest()
    return target.read_bytes()


def test_a_file_comes_whole_and_nothing_else_is_left(tmp_path):
    with serving({"/m.pt": File(BODY)}) as server:
        assert fetched(server, tmp_path / "new" / "m.pt", size=len(BODY), sha256=SHA256) == BODY
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["m.pt"]


def test_what_is_cut_once_goes_on_by_itself(tmp_path):
    with serving({"/m.pt": File(BODY, cuts=[CUT])}) as server:
        assert fetched(server, tmp_path / "m.pt", sha256=SHA256) == BODY
        assert server.asked == [("/m.pt", "", ""), ("/m.pt", f"bytes={CUT}-", '"one"')]


def test_what_is_cut_again_and_again_goes_on_in_the_next_call(tmp_path):
    target = tmp_path / "m.pt"
    with serving({"/m.pt": File(BODY, cuts=[CUT, 1000, 1000])}) as server:
        with pytest.raises(ReidkitError, match=r"broke off after 0\.1 MB .*same command again: it goes on") as caught:
            transfer(f"{server.address}/m.pt", target)
        assert caught.value.exit_code == 1
        assert not target.exists()
        assert fetched(server, target, size=len(BODY), sha256=SHA256) == BODY
        assert server.ranges() == ["", f"bytes={CUT}-", f"bytes={CUT + 1000}-", f"bytes={CUT + 2000}-"]


def test_a_finished_part_is_not_fetched_again(tmp_path):
    target = tmp_path / "m.pt"
    with serving({"/m.pt": File(BODY)}) as server:
        transfer(f"{server.address}/m.pt", target)  # and killed before it got its name
        assert fetched(server, target, sha256=SHA256) == BODY
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "after",
    [
        pytest.param({"ranges": False}, id="the server answers 200 to a Range"),
        pytest.param({"etag": '"two"'}, id="another version under another ETag"),
    ],
)
def test_a_rest_that_is_not_given_starts_anew(tmp_path, after):
    target, file = tmp_path / "m.pt", File(BODY[::-1], cuts=[CUT, 1, 1])
    with serving({"/m.pt": file}) as server:
        with pytest.raises(ReidkitError, match="broke off"):
            transfer(f"{server.address}/m.pt", target)
        file.body = BODY
        for name, value in after.items():
            setattr(file, name, value)
        assert fetched(server, target, sha256=SHA256) == BODY


def test_a_server_that_ignores_if_range_is_caught_by_its_etag(tmp_path):
    """It sends the rest of another version as 206: glued together the two would be neither."""
    target, file = tmp_path / "m.pt", File(BODY[::-1], cuts=[CUT, 1, 1])
    with serving({"/m.pt": file}) as server:
        with pytest.raises(ReidkitError, match="broke off"):
            transfer(f"{server.address}/m.pt", target)
        file.body, file.etag, file.conditional = BODY, '"two"', False
        assert fetched(server, target) == BODY
        assert server.ranges()[-2:] == [f"bytes={CUT + 2}-", ""]


def test_without_a_validator_a_cut_transfer_starts_anew(tmp_path):
    with serving({"/m.pt": File(BODY, cuts=[CUT], etag="")}) as server:
        assert fetched(server, tmp_path / "m.pt", sha256=SHA256) == BODY
        assert server.ranges() == ["", ""]


def test_without_a_length_the_known_one_tells_a_cut(tmp_path):
    with serving({"/m.pt": File(BODY, cuts=[CUT], length=False)}) as server:
        assert fetched(server, tmp_path / "m.pt", size=len(BODY)) == BODY
        assert server.ranges() == ["", f"bytes={CUT}-"]


def test_a_wrong_sha256_is_refused_and_deleted(tmp_path):
    with (
        serving({"/m.pt": File(BODY)}) as server,
        pytest.raises(ReidkitError, match=rf"sha256 is {SHA256[:16]}….* It was deleted"),
    ):
        transfer(f"{server.address}/m.pt", tmp_path / "m.pt", size=len(BODY), sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_length_is_refused_before_anything_comes(tmp_path):
    with serving({"/m.pt": File(BODY)}) as server, pytest.raises(ReidkitError, match=r"gives 300,000 bytes.*has 7\."):
        transfer(f"{server.address}/m.pt", tmp_path / "m.pt", size=7)
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_the_known_length_are_not_written(tmp_path):
    with (
        serving({"/m.pt": File(BODY, length=False)}) as server,
        pytest.raises(ReidkitError, match="more than the file's length"),
    ):
        transfer(f"{server.address}/m.pt", tmp_path / "m.pt", size=1000)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2000


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (File(status=404), "answers 404 Not Found. Look for a newer reidkit"),
        (File(status=403), "answers 403 Forbidden. Try again later"),
        (File(status=503), "broke off .*answers 503"),
        (File(b"<html>sign in</html>", kind="text/html; charset=utf-8"), "gives a web page in place of 'm.pt'"),
        (File(location="/m.pt"), "redirects in circles"),
        (File(location="http://example.org/m.pt"), "redirects to http://example.org, which is not https"),
        (File(location="file:///etc/passwd"), "redirects to file://, which is not https"),
        (File(location="http://[::1/m.pt"), "broke off .*Invalid URL in location header"),
    ],
)
def test_what_is_no_file_is_one_sentence(tmp_path, file, says):
    with serving({"/m.pt": file}) as server, pytest.raises(ReidkitError, match=says) as caught:
        transfer(f"{server.address}/m.pt", tmp_path / "m.pt")
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_is_followed_and_a_cut_behind_it_resumed(tmp_path):
    with serving({"/m.pt": File(location="/asset/7"), "/asset/7": File(BODY, cuts=[CUT])}) as server:
        assert fetched(server, tmp_path / "m.pt", sha256=SHA256) == BODY
        assert [path for path, _, _ in server.asked] == ["/m.pt", "/asset/7"] * 2


def test_no_network(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ReidkitError, match=r"127\.0\.0\.1 can't be reached .*put it here as '.*m\.pt'"):
        transfer(f"http://127.0.0.1:{port}/m.pt", tmp_path / "m.pt")


@pytest.mark.parametrize(
    ("variable", "value"), [("HTTPS_PROXY", "gopher://proxy"), ("SSL_CERT_FILE", "/absent/certificates.pem")]
)
def test_a_network_that_is_set_up_wrongly(tmp_path, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ReidkitError, match=rf"can't be used as it is set up here .*{variable}"):
        transfer("https://example.org/m.pt", tmp_path / "m.pt")


def test_an_address_that_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("REIDKIT_WEIGHTS_SOURCE", "http://[::1")
    with pytest.raises(ReidkitError, match=r"'http://\[::1/example\.org/m\.pt' is no address"):
        transfer("https://example.org/m.pt", tmp_path / "m.pt")


def test_plain_http_to_elsewhere_is_refused(tmp_path):
    with pytest.raises(ReidkitError, match=r"'http://example\.org/m\.pt' is no https address"):
        transfer("http://user:secret@example.org/m.pt", tmp_path / "m.pt")


def test_too_little_space_is_said_before_the_transfer(tmp_path, monkeypatch):
    usage = downloads.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage)
    with serving({"/m.pt": File(BODY)}) as server, pytest.raises(ReidkitError, match=r"is full .*again: it goes on"):
        transfer(f"{server.address}/m.pt", tmp_path / "m.pt")


def test_a_disk_that_fills_up_is_one_sentence(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(downloads, "open", lambda *_: Full(), raising=False)
    with serving({"/m.pt": File(BODY)}) as server, pytest.raises(ReidkitError, match=r"is full .No space left"):
        transfer(f"{server.address}/m.pt", tmp_path / "m.pt")


def test_the_mirror_takes_the_place_of_the_host(monkeypatch):
    monkeypatch.setenv("REIDKIT_WEIGHTS_SOURCE", "https://mirror.example/weights/")
    assert downloads.address("https://github.com/a/b.pt") == "https://mirror.example/weights/github.com/a/b.pt"
    monkeypatch.delenv("REIDKIT_WEIGHTS_SOURCE")
    assert downloads.address("https://github.com/a/b.pt") == "https://github.com/a/b.pt"
