"""`selfcodealign serve-sandbox`: real requests to the real command."""

from __future__ import annotations

import gzip
import json
import signal
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from selfcodealign.judging.places import NeverFits, NoPlace, Places
from tests.support.command_line import call
from tests.support.processes import process_tree
from tests.support.service import TOKEN, Service, wait_until

RIGHT = {"response": "def twice(x):\n    return 2 * x\n", "tests": "assert twice(4) == 8\nassert twice(1) == 2"}
WRONG = {"response": "def twice(x):\n    return x\n", "tests": "assert twice(4) == 8"}
ENDLESS = {"response": "import time\nwhile True:\n    time.sleep(1)\n", "kind": "script"}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One worker, four places to wait, requests of at most 1 MiB."""
    with Service("--workers", "1", "--queue", "4", "--max-request-mib", "1", "--timeout", "60") as found:
        yield found


def test_verdicts_come_in_the_order_of_the_programs(service: Service) -> None:
    """Each with its id and the fields of `execute`'s rows; what a model got wrong is a verdict with a reason."""
    answer = service.judge(
        RIGHT | {"id": "first"}, WRONG | {"id": 2}, {"response": None, "tests": ""}, RIGHT | {"tests": None}, 7
    )
    assert answer.status_code == 200
    verdicts = answer.json()["verdicts"]
    assert [one["status"] for one in verdicts] == ["passed", "failed", "no_code", "no_tests", "no_code"]
    assert [one.get("id") for one in verdicts] == ["first", 2, None, None, None]
    assert (verdicts[0]["proof"], verdicts[0]["mutation_score"]) == ("split", 1.0)
    assert "object" in verdicts[4]["message"]


@pytest.mark.parametrize(
    "tests", [["assert twice(4) == 8", "assert twice(0) == 0"], '["assert twice(4) == 8", "assert twice(0) == 0"]']
)
def test_tests_may_be_a_list(service: Service, tests: Any) -> None:
    """As a list of assertions, or as the JSON text of one."""
    (verdict,) = service.judge(RIGHT | {"tests": tests, "mutation_testing": False, "split": False}).json()["verdicts"]
    assert (verdict["status"], verdict["assertions"], verdict["proof"]) == ("passed", 2, "shared")


def test_limits_are_at_most_those_of_the_service(service: Service) -> None:
    """A request may ask for less, for all programs or for one; more is the service's own."""
    answer = service.judge(
        ENDLESS, ENDLESS | {"limits": {"seconds": 0.2}}, limits={"seconds": 0.5, "memory_mib": 10**9}
    )
    assert [one["status"] for one in answer.json()["verdicts"]] == ["timeout", "timeout"]
    assert [one["message"] for one in answer.json()["verdicts"]] == ["ran longer than 0.5 s", "ran longer than 0.2 s"]
    assert answer.json()["limits"] == {"seconds": 0.5, "memory_mib": 4096}
    (hurried,) = service.judge(ENDLESS, limits={"seconds": 1e-300}).json()["verdicts"]
    assert (hurried["status"], hurried["message"]) == ("timeout", "ran longer than 0.01 s")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "the body is no JSON"),
        (b"\xff\xfe", 400, "the body is no JSON"),
        (b"[" * 200_000, 400, "nested too deeply"),
        (b'{"programs": [' + b"9" * 5000 + b"]}", 400, "the body is no JSON"),
        (b'{"programs": NaN}', 400, "NaN is no number in JSON"),
        (b"[]", 400, "has to be a JSON object"),
        (b"{}", 422, '{"programs": [{"response"'),
        (b'{"programs": {}}', 422, '"programs" has to be a list'),
        (b'{"programs": [{"respons": ""}]}', 422, 'did you mean "response"?'),
        (b'{"programs": [{"response": "", "kind": "x"}]}', 422, "tests, check, script"),
        (b'{"programs": [{"response": "", "split": 1}]}', 422, '"split" has to be true or false'),
        (b'{"programs": [{"response": "", "\\ud800": 1}]}', 422, "has no field"),
        (b'{"programs": [], "limits": {"seconds": "1"}}', 422, "has to be a number"),
        (b'{"programs": [], "limits": {"seconds": -1e400}}', 422, "seconds must be above 0"),
        (b'{"programs": [{"response": ""' + b" " * 2**20 + b"}]}", 413, "more than 1 MiB"),
        (json.dumps({"programs": [RIGHT] * 6}).encode(), 413, "5 is the most that fits here"),
        (json.dumps({"programs": [{"respons": ""}] * 6}).encode(), 413, "5 is the most that fits here"),
        (b'{"programs": [], "limits": {"memory_mib": -1e400}}', 422, "memory_mib must be at least 16"),
    ],
)
def test_a_bad_request_is_told_in_one_line(service: Service, body: bytes, status: int, said: str) -> None:
    """The line says what is expected, and the service goes on."""
    answer = service.http.post("/judge", content=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert service.http.get("/health").json()["status"] == "ok"


@pytest.mark.parametrize("body", [gzip.compress(bytes(2**24)), b"no gzip"])
def test_a_compressed_body_is_refused(service: Service, body: bytes) -> None:
    """Unread, whatever it would become: a small one may hold gigabytes."""
    answer = service.http.post("/judge", content=body, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, "without Content-Encoding" in answer.json()["error"]) == (415, True)


def test_odd_texts_are_judged_as_others(service: Service) -> None:
    """Lone surrogates, NUL and integers of 4,000 digits in texts and ids."""
    odd = RIGHT | {"response": RIGHT["response"] + "# \ud800 \0", "id": "\udfff"}
    answer = service.http.post("/judge", content=json.dumps({"programs": [odd, RIGHT | {"id": 10**4000}]}).encode())
    verdicts = answer.json()["verdicts"]
    assert (verdicts[0]["id"], verdicts[1]["id"]) == ("\udfff", 10**4000)
    assert verdicts[1]["status"] == "passed"


def test_nobody_without_the_token(service: Service) -> None:
    """In the header or in the address; only /health is for all."""
    for path in ("/judge", "/run_code"):
        assert service.http.post(path, json={}, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert service.http.post(path, json={}, headers={"Authorization": ""}).status_code == 401
    assert service.http.get("/metrics", headers={"Authorization": ""}).status_code == 401
    assert service.http.get("/elsewhere", headers={"Authorization": ""}).status_code == 401
    assert service.http.get("/metrics", headers={"Authorization": ""}, params={"token": TOKEN}).status_code == 200
    assert service.http.get("/metrics", headers={"Authorization": ""}, params={"token": "ä"}).status_code == 401
    health = service.http.get("/health", headers={"Authorization": ""})
    assert (health.status_code, health.json()["workers"], health.json()["queue"]) == (200, 1, 4)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Host: evil.example", 403),
        ("Host: 10.1.2.3", 403),
        ("Host: [", 403),
        ("Host:", 403),
        ("Host: localhost", 200),
        ("Host: LOCALHOST.:80", 200),
        ("Host: 127.0.0.1:9", 200),
        ("Host: localhost:7\r\nOrigin: http://localhost:7", 200),
        ("Host: localhost:7\r\nOrigin: http://evil.example", 403),
        ("Host: localhost:7\r\nOrigin: null", 403),
    ],
)
def test_names_and_pages_of_others_are_refused(service: Service, headers: str, status: int) -> None:
    """Host has to name this service, Origin the same host: pages in a browser reach nothing."""
    with service.send_raw(f"GET /health HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n".encode()) as connection:
        assert connection.recv(4096).split()[1] == str(status).encode()


def test_a_full_queue_takes_nothing_of_a_request_and_a_client_that_breaks_off_frees_its_places(
    service: Service,
) -> None:
    """503 with Retry-After; the broken-off programs are killed, and the places are there again."""
    judged = service.metric('verdicts_total{status="timeout"}')
    breaks = service.metric("client_breaks_total")
    connection = service.begin_judging(json.dumps({"programs": [ENDLESS] * 4}).encode())
    wait_until(lambda: service.metric("queue_programs") == 3, "the programs did not begin")
    assert service.metric("running_programs") == 1
    answer = service.judge(RIGHT, RIGHT)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert service.metric("queue_programs") == 3
    connection.close()
    wait_until(lambda: service.metric("queue_programs") + service.metric("running_programs") == 0, "places are held")
    assert service.metric("client_breaks_total") == breaks + 1
    assert service.metric('verdicts_total{status="timeout"}') == judged
    (verdict,) = service.judge(RIGHT).json()["verdicts"]
    assert verdict["status"] == "passed"


def test_metrics_are_prometheus_text(service: Service) -> None:
    """Verdicts by status, a histogram of seconds, refused requests by reason."""
    service.judge(RIGHT)
    service.http.get("/health", headers={"Host": "evil.example"})
    families = {one.name: one for one in text_string_to_metric_families(service.http.get("/metrics").text)}
    verdicts = {one.labels.get("status"): one.value for one in families["selfcodealign_sandbox_verdicts"].samples}
    assert verdicts["passed"] >= 1
    refused = {
        one.labels.get("reason"): one.value for one in families["selfcodealign_sandbox_refused_requests"].samples
    }
    assert refused["host"] >= 1
    assert families["selfcodealign_sandbox_program_seconds"].type == "histogram"


class TestRunCode:
    """A small client, written from the documented requests of SandboxFusion."""

    def test_streams_and_status_are_those_of_a_command(self, service: Service) -> None:
        """stdout, stderr and the exit status are apart; the answer has all documented fields."""
        answer = service.run_code("import sys\nprint(input())\nsys.stderr.write('e')", stdin="hello\n", files={})
        assert answer.keys() == {"status", "message", "compile_result", "run_result", "executor_pod_name", "files"}
        result = answer["run_result"]
        assert result.keys() == {"status", "execution_time", "return_code", "stdout", "stderr"}
        assert (answer["status"], result["status"], result["return_code"]) == ("Success", "Finished", 0)
        assert (result["stdout"], result["stderr"]) == ("hello\n", "e")

    @pytest.mark.parametrize(
        ("code", "status", "stderr"),
        [
            ("def f():\n    return {}[1]\nf()", 1, "line 2, in f\nKeyError: 1\n"),
            ("import sys; sys.exit(3)", 3, ""),
            ("import sys; sys.exit('why')", 1, "why\n"),
            ("import os; os._exit(4)", 4, ""),
            ("x = = 1", 1, "SyntaxError: invalid syntax"),
            ("print(input())", 1, "EOFError"),
            ("assert 1 == 2, 'no'", 1, "AssertionError: no"),
        ],
    )
    def test_a_script_that_fails(self, service: Service, code: str, status: int, stderr: str) -> None:
        """`Failed`, with the status and the traceback that Python gives."""
        answer = service.run_code(code)
        assert (answer["status"], answer["run_result"]["return_code"]) == ("Failed", status)
        assert stderr in answer["run_result"]["stderr"]

    def test_a_swallowed_assertion_fails_nothing(self, service: Service) -> None:
        """The script decides, as under Python."""
        code = "try:\n    assert 1 == 2\nexcept AssertionError:\n    print('fine')"
        assert service.run_code(code)["status"] == "Success"
        assert service.run_code("")["status"] == "Success"

    def test_limits(self, service: Service) -> None:
        """Out of time, out of memory, too much output: each is told."""
        late = service.run_code("print('begun')\nwhile True: pass", run_timeout=0.5)
        assert (late["status"], late["run_result"]["status"]) == ("Failed", "TimeLimitExceeded")
        assert (late["run_result"]["return_code"], late["run_result"]["stdout"]) == (None, "begun\n")
        large = service.run_code("x = bytearray(500 << 20)", memory_limit_MB=100)
        assert (large["status"], large["run_result"]["return_code"]) == ("Failed", 1)
        loud = service.run_code("print('x' * (6 << 20))")
        assert loud["status"] == "Failed"
        assert "wrote more than 4096 KiB" in loud["run_result"]["stderr"]

    def test_files_in_and_out(self, service: Service) -> None:
        """In base64, below the current folder; what is not there is named, and nothing is left for the next script."""
        code = (
            "open('out.bin', 'wb').write(open('in/a.txt', 'rb').read() * 2)\nimport os\nos.symlink('out.bin', 'link')"
        )
        answer = service.run_code(
            code, files={"in/a.txt": b64encode(b"\0x").decode(), "no": None}, fetch_files=["out.bin", "link", "none"]
        )
        assert {name: b64decode(data) for name, data in answer["files"].items()} == {"out.bin": b"\0x\0x"}
        assert "link, none" in answer["message"]
        assert answer["status"] == "Success"
        assert service.run_code("import os; print(os.listdir())")["run_result"]["stdout"] == "[]\n"

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"language": "cpp"}, "python only"),
            ({"files": {"../a": ""}}, "no relative path"),
            ({"fetch_files": ["/etc/passwd"]}, "no relative path"),
            ({"files": {"a": "", "a/b": ""}}, "is a file and a folder"),
        ],
    )
    def test_what_is_not_served_is_an_error_of_the_sandbox(self, service: Service, fields: Any, said: str) -> None:
        """With a reason, and never a result."""
        answer = service.run_code("print(1)", **fields)
        assert (answer["status"], answer["run_result"]) == ("SandboxError", None)
        assert said in answer["message"]


def test_sigterm_finishes_what_was_taken_and_takes_nothing_new(tmp_path: Path) -> None:
    """The answer arrives, new work gets 503, and the command ends with 0 and leaves no process."""
    slow = RIGHT | {"response": "import time\ntime.sleep(1)\n" + RIGHT["response"], "split": False, "id": "slow"}
    slow["mutation_testing"] = False
    with Service("--workers", "1", "--sandbox", "auto") as service:
        connection = service.begin_judging(json.dumps({"programs": [slow, slow]}).encode())
        wait_until(lambda: service.metric("running_programs") == 1, "nothing began")
        below = process_tree(service.process.pid)
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: service.http.get("/health").json()["status"] == "draining", "it does not drain")
        refused = service.judge(RIGHT)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        answer = b""
        while b"verdicts" not in answer or not answer.endswith(b"}"):
            chunk = connection.recv(1 << 16)
            assert chunk, answer
            answer += chunk
        verdicts = json.loads(answer.partition(b"\r\n\r\n")[2])["verdicts"]
        assert [one["status"] for one in verdicts] == ["passed", "passed"]
        connection.close()
        assert service.process.wait(60) == 0
        assert not [pid for pid in below if Path(f"/proc/{pid}/cwd").exists()]


def test_a_body_that_never_ends_holds_up_no_stop() -> None:
    """Nothing of it was taken, so the command does not wait for it, and ends with 0."""
    with Service("--workers", "1", "--sandbox", "auto", "--grace", "600") as service:
        head = f"POST /judge HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nExpect: 100-continue\r\n"
        with service.send_raw(f"{head}Content-Length: 100\r\n\r\n{{".encode()) as connection:
            assert b"100 Continue" in connection.recv(100)  # it is being read
            assert service.stop()[0] == 0


@pytest.mark.parametrize("mode", ["namespaces", "landlock"])
def test_a_second_signal_stops_at_once(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs is killed: no process and no scratch is left, in both modes."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with Service("--workers", "1", "--sandbox", mode, "--timeout", "600", "--grace", "600") as service:
        if not service.port:
            pytest.skip(service.process.communicate()[1])
        with service.begin_judging(json.dumps({"programs": [ENDLESS]}).encode()):
            wait_until(lambda: service.metric("running_programs") == 1, "nothing began")
            below = process_tree(service.process.pid)
            assert below
            service.process.send_signal(signal.SIGINT)
            wait_until(lambda: service.http.get("/health").json()["status"] == "draining", "it does not drain")
            code, errors = service.stop(signal.SIGINT)
        assert code == 130
        assert "a second signal stops at once" in errors
        assert "Traceback" not in errors
        assert not [pid for pid in below if Path(f"/proc/{pid}/cwd").exists()]
        assert list(tmp_path.glob("selfcodealign-*")) == []


def test_a_token_of_its_own_is_shown_once_and_logged_nowhere(tmp_path: Path) -> None:
    """Without one, the full address is printed; the log file has neither it nor that of a request, nor of one that is
    no HTTP."""
    log = tmp_path / "log"
    with Service("--log-file", str(log), "-v", token=None) as service:
        token = service.printed.partition("/?token=")[2]
        assert len(token) >= 24
        assert service.http.get("/metrics", headers={"Authorization": ""}, params={"token": token}).status_code == 200
        assert service.http.get("/metrics", headers={"Authorization": f"Bearer {token[1:]}"}).status_code == 401
        for request in (
            f"GET /metrics?token={token} HTTP/9.9\r\nHost: localhost\r\n\r\n",
            f"GET /metrics?token={token}&{'a' * 9000} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            f"GET http://[/metrics?token={token} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\0\r\n\r\n",
        ):
            with service.send_raw(request.encode()) as connection:
                assert b" 400 " in connection.recv(100)
        _, errors = service.stop()
    assert token not in errors + log.read_text()
    assert "Traceback" not in errors + log.read_text()


def test_a_token_from_a_file(tmp_path: Path) -> None:
    """The file wins over the environment, and the address is printed without it; one that is no token is refused."""
    file = tmp_path / "token"
    file.write_text("of-the-file\n")
    with Service("--token-file", str(file)) as service:
        assert "of-the-file" not in service.printed
        good = {"Authorization": "Bearer of-the-file"}
        assert service.http.get("/metrics", headers=good).status_code == 200
        assert service.http.get("/metrics").status_code == 401
    file.write_text("")
    done = call("serve-sandbox", "--token-file", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert "a token is one line" in done.stderr


def test_a_port_that_is_taken_is_told(service: Service) -> None:
    """In one line, before a sandbox is started."""
    done = call("serve-sandbox", "--port", str(service.port))
    assert done.returncode == 2
    assert "choose another port" in done.stderr
    assert done.stderr.count("\n") == 1


def test_places_are_taken_whole_or_not_at_all() -> None:
    """The queue never exceeds its bound."""
    places = Places(workers=2, queue=3)
    places.take(4)
    assert (places.running, places.waiting) == (2, 2)
    with pytest.raises(NoPlace):
        places.take(2)
    assert places.waiting == 2
    places.take(1)
    assert places.waiting == 3
    places.free()
    with pytest.raises(NeverFits):
        places.take(6)
    assert places.taken == 4
