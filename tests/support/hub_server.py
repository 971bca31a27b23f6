"""A stand-in for the Hugging Face hub: a real HTTP server on the loopback interface, with repositories in memory.

It speaks what `HfApi` and `datasets` use: who the token belongs to, the check of a card, making a repository, the modes
of files, LFS uploads with their verification, commits, listings and downloads.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_of_a_test"
#: The hub keeps these as LFS objects, whatever their size.
_BINARY = (".parquet", ".safetensors", ".gguf")
_KINDS = r"(?P<kind>dataset|model)s"
_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
_LICENCES = ("mit", "apache-2.0", "isc", "other", "cc-by-4.0", "openrail", "bigcode-openrail-m")


@dataclass
class Repository:
    """The files of a repository, and its commits."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)

    def commit(self, title: str) -> str:
        """Record a commit; return its name."""
        self.commits.append(title)
        return self.sha

    @property
    def sha(self) -> str:
        return hashlib.sha1(f"{len(self.commits)}{self.commits[-1:]}".encode()).hexdigest()


class HubServer(ThreadingHTTPServer):
    """Serves while it is entered. `fail` answers requests whose method and path match with a status; `hold` is called
    before an object is taken in."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.fail: dict[str, int] = {}
        self.hold: Callable[[], None] = lambda: None
        self.role = "write"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def changes(self) -> list[str]:
        """The requests that change something."""
        return [one for one in self.requests if re.search(r"repos/create|/objects/|/commit/|^PUT", one)]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback for connections that a client breaks off."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> HubServer:
        assert isinstance(self.server, HubServer)
        return self.server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is written."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        self.path = unquote(urlsplit(self.path).path)
        asked = f"{self.command} {self.path}"
        self.hub.requests.append(asked)
        held = self._body()
        for pattern, status in self.hub.fail.items():
            if re.search(pattern, asked):
                return self._send(status, {"error": "as the test asks for"})
        for pattern, handle in _ROUTES.items():
            if found := re.fullmatch(pattern, asked):
                return handle(self, found, held)
        return self._send(404, {"error": f"no such page: {asked}"})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, status: int, value: Any = None, raw: bytes | None = None, **headers: str) -> None:
        data = raw if raw is not None else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(data)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _find(self, found: re.Match[str]) -> Repository | None:
        kind = "dataset" if found["kind"] in ("dataset", "datasets/") else "model"
        known = self.hub.repositories.get((kind, found["repo"]))
        if known is None or (known.private and not self._known()):
            return self._send(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        return known

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def whoami(self, found: re.Match[str], body: bytes) -> None:
        if not self._known():
            return self._send(401, {"error": "Invalid user token."})
        role = {"accessToken": {"displayName": "t", "role": self.hub.role}}
        return self._send(200, {"type": "user", "name": "ada", "orgs": [], "auth": {"type": "access_token", **role}})

    def validate(self, found: re.Match[str], body: bytes) -> None:
        """What the hub checks of the keys that cards here have."""
        block = re.match(r"---\n(.*?)\n---\n", json.loads(body)["content"], re.DOTALL)
        try:
            told = yaml.safe_load(block[1]) if block else {}
        except yaml.YAMLError as error:
            return self._send(400, {"errors": [{"message": f"bad YAML: {error}"}], "warnings": []})
        errors = []
        if told.get("license") and told["license"] not in _LICENCES:
            errors.append('"license" must be one of the known licences')
        if told.get("license_name") and not re.fullmatch(r"[a-z0-9.-]+", str(told["license_name"])):
            errors.append('"license_name" must be of a-z, 0-9, . and -')
        if any(not re.fullmatch(r"n<1K|\d+[KM]?<n<\d+[KM]", str(one)) for one in told.get("size_categories", [])):
            errors.append('"size_categories" must be ranges')
        if any(not isinstance(one, str) for one in told.get("tags", [])):
            errors.append('"tags" must be texts')
        if (base := told.get("base_model")) and not re.fullmatch(r"[\w.-]+/[\w.-]+", str(base)):
            errors.append('"base_model" must be a model of the hub')
        answer = {"errors": [{"message": one} for one in errors], "warnings": []}
        return self._send(400 if errors else 200, answer)

    def info(self, found: re.Match[str], body: bytes) -> None:
        if known := self._find(found):
            names = [{"rfilename": ".gitattributes"}, *({"rfilename": name} for name in known.files)]
            about = {"id": found["repo"], "sha": known.sha, "private": known.private, "siblings": names}
            self._send(200, about | {"tags": [], "downloads": 0, "likes": 0})

    def create(self, found: re.Match[str], body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization'] or 'ada'}/{asked['name']}"
        if asked["organization"] not in (None, "ada"):
            return self._send(403, {"error": "You don't have the rights to create this repository"})
        if (asked["type"], name) in self.hub.repositories:
            return self._send(409, {"error": "You already created this repository", "url": f"{self.hub.url}/{name}"})
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.repositories[asked["type"], name] = Repository(private=bool(private), commits=["initial commit"])
        return self._send(200, {"url": f"{self.hub.url}/{name}"})

    def preupload(self, found: re.Match[str], body: bytes) -> None:
        if known := self._find(found):
            modes = []
            for one in json.loads(body)["files"]:
                lfs = one["path"].endswith(_BINARY)
                held = known.files.get(one["path"])
                oid = None if held is None else hashlib.sha256(held).hexdigest() if lfs else _git_hash(held)
                mode = {"uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False, "oid": oid}
                modes.append({"path": one["path"], **mode})
            self._send(200, {"files": modes})

    def batch(self, found: re.Match[str], body: bytes) -> None:
        objects = []
        for one in json.loads(body)["objects"]:
            new = one["oid"] not in self.hub.objects
            upload = {"href": f"{self.hub.url}/lfs/{one['oid']}"}
            verify = {"href": f"{self.hub.url}/lfs-verify"}
            objects.append({**one, **({"actions": {"upload": upload, "verify": verify}} if new else {})})
        self._send(200, {"transfer": "basic", "objects": objects})

    def put(self, found: re.Match[str], body: bytes) -> None:
        self.hub.hold()
        if hashlib.sha256(body).hexdigest() != found["oid"]:
            return self._send(400, {"error": "not these bytes"})
        self.hub.objects[found["oid"]] = body
        return self._send(200, {})

    def verify(self, found: re.Match[str], body: bytes) -> None:
        asked = json.loads(body)
        self._send(200 if len(self.hub.objects.get(asked["oid"], b"")) == asked["size"] else 400, {})

    def commit(self, found: re.Match[str], body: bytes) -> None:
        if not (known := self._find(found)):
            return None
        lines = [json.loads(line) for line in body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, known.sha):
            return self._send(412, {"error": "A commit has happened since"})
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                known.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                known.files[value["path"]] = self.hub.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del known.files[value["path"]]
        sha = known.commit(header["summary"])
        prefix = "datasets/" if found["kind"] == "dataset" else ""
        return self._send(200, {"commitUrl": f"{self.hub.url}/{prefix}{found['repo']}/commit/{sha}", "commitOid": sha})

    def tree(self, found: re.Match[str], body: bytes) -> None:
        if known := self._find(found):
            inside = f"{found['folder']}/" if found["folder"] else ""
            below = {path.removeprefix(inside): held for path, held in known.files.items() if path.startswith(inside)}
            folders = dict.fromkeys(path.split("/")[0] for path in below if "/" in path)
            files = [_entry(inside + path, held) for path, held in below.items() if "/" not in path]
            told = [{"type": "directory", "path": inside + one, "size": 0, "oid": _git_hash(b"")} for one in folders]
            self._send(200, [*told, *files])

    def paths(self, found: re.Match[str], body: bytes) -> None:
        if known := self._find(found):
            text = body.decode()
            asked = json.loads(text)["paths"] if text.startswith("{") else re.findall(r"paths=([^&]*)", text)
            names = [unquote(one) for one in asked]
            self._send(200, [_entry(name, known.files[name]) for name in names if name in known.files])

    def resolve(self, found: re.Match[str], body: bytes) -> None:
        if not (known := self._find(found)):
            return None
        held = known.files.get(found["path"])
        if held is None:
            return self._send(404, {"error": "no such file"}, X_Error_Code="EntryNotFound", X_Repo_Commit=known.sha)
        etag = f'"{hashlib.sha256(held).hexdigest()}"'
        return self._send(200, raw=held, ETag=etag, X_Repo_Commit=known.sha, Content_Type="application/octet-stream")


def _git_hash(held: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(held) + held).hexdigest()


def _entry(path: str, held: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(held), "oid": _git_hash(held)}


_ROUTES: dict[str, Callable[[_Handler, re.Match[str], bytes], None]] = {
    r"GET /api/whoami-v2": _Handler.whoami,
    r"POST /api/validate-yaml": _Handler.validate,
    r"POST /api/repos/create": _Handler.create,
    rf"GET /api/{_KINDS}/{_REPO}(?:/revision/[^/]+)?": _Handler.info,
    rf"POST /api/{_KINDS}/{_REPO}/preupload/main": _Handler.preupload,
    rf"POST /(?P<kind>datasets/)?{_REPO}\.git/info/lfs/objects/batch": _Handler.batch,
    r"PUT /lfs/(?P<oid>[0-9a-f]{64})": _Handler.put,
    r"POST /lfs-verify": _Handler.verify,
    rf"POST /api/{_KINDS}/{_REPO}/commit/main": _Handler.commit,
    rf"GET /api/{_KINDS}/{_REPO}/tree/[^/]+/?(?P<folder>.*)": _Handler.tree,
    rf"POST /api/{_KINDS}/{_REPO}/paths-info/[^/]+": _Handler.paths,
    rf"(?:HEAD|GET) /(?P<kind>datasets/)?{_REPO}/resolve/[^/]+/(?P<path>.+)": _Handler.resolve,
}
