import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report.folders import read_script, write_comparison, write_evaluation, write_run, write_step

from verl_coder.errors import ConfigError
from verl_coder.report.build import Report, write_report
from verl_coder.report.inputs import find_inputs
from verl_coder.report.watch import serve, start_server


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Any]:
    (tmp_path / "secret.js").write_text("secret")
    write_report(Report(find_inputs([write_run(tmp_path / "run")])), tmp_path / "out")
    server = start_server(tmp_path / "out", 0)
    yield server
    server.shutdown()
    server.server_close()


def ask(server: Any, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    host, port = server.server_address
    connection = http.client.HTTPConnection(host, port, timeout=10)
    connection.request(method, path, headers=headers)
    return connection.getresponse()


def test_the_page_is_served_on_loopback_with_its_protections(served: Any) -> None:
    assert served.server_address[0] == "127.0.0.1"
    answer = ask(served, "/")
    assert answer.status == 200 and b"<title>verl-coder report" in answer.read()
    assert (
        answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["X-Frame-Options"] == "DENY"
    )
    script = ask(served, "/data/site.js?v=1")
    assert script.status == 200 and script.headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1", "", "127.0.0.1:1"])
def test_another_host_is_refused(served: Any, host: str) -> None:
    assert ask(served, "/data/site.js", Host=host).status == 421


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.js",
        "/%2e%2e/secret.js",
        "/data/../../secret.js",
        "//secret.js",
        "/data/",
        "/data",
        "/.verl_coder_report",
        "/link.js",
    ],
)
def test_only_files_of_the_page_are_served(served: Any, tmp_path: Path, path: str) -> None:
    (tmp_path / "out" / "link.js").symlink_to(tmp_path / "secret.js")
    answer = ask(served, path)
    assert answer.status == 404 and b"secret" not in answer.read().replace(b"secret.js", b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_but_reading_is_answered(served: Any, method: str) -> None:
    assert ask(served, "/", method).status == 501


def test_a_taken_port_is_one_line(served: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose another --port"):
        start_server(tmp_path / "out", served.server_address[1])


def test_a_new_step_comes_to_the_page_while_it_is_watched(tmp_path: Path) -> None:
    run, said = write_run(tmp_path / "run"), list[str]()
    report, out = Report(find_inputs([run])), tmp_path / "out"
    options: dict[str, Any] = {"port": 0, "every_s": 0.05, "say": said.append}
    threading.Thread(target=serve, args=(report, out), kwargs=options, daemon=True).start()
    index = out / "data" / "index.js"
    _wait(lambda: said)
    assert "127.0.0.1" in said[0]
    before = index.read_text()
    write_step(run, 3)
    _wait(lambda: index.read_text() != before and (out / "data" / "0" / "rollouts-000003-0.js").is_file())


def test_a_new_comparison_comes_to_the_page_while_it_is_watched(tmp_path: Path) -> None:
    folders, said = [write_evaluation(tmp_path / name) for name in ("a", "b")], list[str]()
    report, out = Report(find_inputs(folders)), tmp_path / "out"
    options: dict[str, Any] = {"port": 0, "every_s": 0.05, "say": said.append}
    threading.Thread(target=serve, args=(report, out), kwargs=options, daemon=True).start()
    _wait(lambda: said)
    site = out / "data" / "site.js"
    assert read_script(site, "site")["comparisons"] == []
    write_comparison(tmp_path, ("a", "b"))
    _wait(lambda: read_script(site, "site")["comparisons"])


def test_what_changes_while_the_first_pages_are_made_is_not_missed(tmp_path: Path) -> None:
    folders, out = [write_evaluation(tmp_path / name) for name in ("a", "b")], tmp_path / "out"

    def change(_: str) -> None:
        write_comparison(tmp_path, ("a", "b"))

    options: dict[str, Any] = {"port": 0, "every_s": 0.05, "say": change}
    threading.Thread(
        target=serve, args=(Report(find_inputs(folders)), out), kwargs=options, daemon=True
    ).start()
    _wait(
        lambda: (out / "data/site.js").is_file() and read_script(out / "data/site.js", "site")["comparisons"]
    )


def _wait(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
