"""The upload itself, with the hub's own library: everything is looked at first, and all files appear in one commit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfcodealign.errors import MissingExtra, PublishError, is_unreachable, reason_of
from selfcodealign.progress.log import is_quiet, is_verbose
from selfcodealign.publishing.parcel import Parcel

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_AGAIN = "the same command goes on, and what is there already is not sent again"
_TOKEN = "make one that may write: https://huggingface.co/settings/tokens, then hf auth login, or set HF_TOKEN"
#: What the hub's answers mean, by their status; {repo} is the repository.
_STATUSES = {
    400: "the hub refuses the request",
    401: "the hub does not accept the token, or does not show it {repo}: " + _TOKEN,
    402: "the hub asks for a payment: look at the owner's plan and storage",
    403: "the token may not write to {repo}: " + _TOKEN + ", or name a repository of your own",
    404: "the hub has no {repo}, or does not show it to this token: check the name",
    409: "{repo} has changed in the meantime: give the same command again",
    412: "{repo} has changed in the meantime: give the same command again",
    413: "the hub refuses a file or the whole as too large: look at the limits of the owner's plan",
    429: "the hub has had too many requests: wait some minutes; " + _AGAIN,
}


@dataclass(frozen=True)
class Target:
    """A repository as it is now: its whole name, its commit and files where it exists, and who may read it."""

    repository: str
    commit: str | None = None
    files: tuple[str, ...] = ()
    private: bool = False

    def replaced(self, parcel: Parcel) -> list[str]:
        """Files that the parcel writes over."""
        return sorted({*self.files} & {*parcel.files})

    def removed(self, parcel: Parcel) -> list[str]:
        """Files of an earlier push that the parcel takes the place of."""
        if parcel.replaces is None:
            return []
        return sorted(name for name in {*self.files} - {*parcel.files} if parcel.replaces.fullmatch(name))


def open_hub() -> HfApi:
    """The hub's API with the user's token. Raises `MissingExtra`, `PublishError` where there is no token."""
    try:
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.utils import disable_progress_bars, logging
    except ImportError:
        raise MissingExtra("push", "hub") from None
    if is_quiet() or not sys.stderr.isatty():
        disable_progress_bars()
    if not is_verbose():
        logging.set_verbosity_error()
    if not get_token():
        raise PublishError(f"there is no token for the hub: {_TOKEN}")
    return HfApi(token=get_token(), library_name="selfcodealign")


def look_at(api: HfApi, parcel: Parcel, name: str) -> Target:
    """Find out who the token belongs to, whether the card is valid, and what the repository holds; change nothing."""
    from huggingface_hub import DatasetCard, ModelCard
    from huggingface_hub.errors import RepositoryNotFoundError

    with explained(name):
        user = api.whoami()
        role = user.get("auth", {}).get("accessToken", {}).get("role")
        if role == "read":
            raise PublishError(f"the token may only read: {_TOKEN}")
        repository = name if "/" in name else f"{user['name']}/{name}"
        try:
            (DatasetCard if parcel.kind == "dataset" else ModelCard)(parcel.card).validate()
        except ValueError as error:
            raise PublishError(f"the hub does not accept the card: {_complaints(str(error))}") from None
        try:
            info: Any = api.repo_info(repository, repo_type=parcel.kind)
        except RepositoryNotFoundError:
            return Target(repository)
    files = tuple(one.rfilename for one in info.siblings or ())
    return Target(repository, info.sha, tuple(name for name in files if name != ".gitattributes"), bool(info.private))


def check_target(target: Target, parcel: Parcel, *, private: bool, overwrite: bool) -> None:
    """Raises `PublishError` for a repository with work of others in it, and for one that is public against the wish."""
    if target.commit is None:
        return
    if private and not target.private:
        raise PublishError(
            f"{target.repository} exists and is public: make it private on the hub, name another one, or leave out "
            "--private"
        )
    if target.files and not {*parcel.marks} & {*target.files} and not overwrite:
        shown = ", ".join(target.files[:3]) + (", …" if len(target.files) > 3 else "")
        raise PublishError(
            f"{target.repository} holds other files ({shown}): name another repository, or --overwrite to push on top "
            "of them"
        )


def send(api: HfApi, parcel: Parcel, target: Target, *, private: bool, say: Callable[[str], None]) -> str:
    """Make the repository if need be and commit all files at once; return the commit's address, "" if nothing changed.

    Files are sent before the commit: a stopped upload leaves the repository as it was, and goes on when repeated.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[Any] = []
    for name, held in parcel.files.items():
        operations.append(CommitOperationAdd(name, held if isinstance(held, bytes) else str(held)))
    operations += [CommitOperationDelete(name) for name in target.removed(parcel)]
    with explained(target.repository):
        if target.commit is None:
            api.create_repo(target.repository, repo_type=parcel.kind, private=private, exist_ok=True)
            say(f"made {target.repository}")
        done = api.create_commit(
            target.repository,
            operations,
            commit_message=f"Push {parcel.what} with selfcodealign",
            repo_type=parcel.kind,
            parent_commit=target.commit,
        )
    return "" if done.oid == target.commit else str(done.commit_url)


def _complaints(answer: str) -> str:
    """What the hub found wrong in a card, from its answer."""
    with suppress(ValueError, LookupError, TypeError):
        answer = "; ".join(one["message"] for one in json.loads(answer)["errors"])
    return " ".join(answer.split())[:300]


@contextmanager
def explained(repository: str) -> Iterator[None]:
    """Turn what the hub's library raises into one line with the fix."""
    try:
        yield
    except (PublishError, KeyboardInterrupt):
        raise
    except Exception as error:  # its network layer, its checks and the answers of the hub
        raise PublishError(_explain(error, repository)) from None


def _explain(error: BaseException, repository: str) -> str:
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and len(causes) < 10:
        causes.append(cause)
    for one in causes:
        response = getattr(one, "response", None)
        if status := getattr(response, "status_code", None):
            said = getattr(one, "server_message", None)
            told = _STATUSES.get(status) or f"the hub failed (status {status}): try later; {_AGAIN}"
            return told.format(repo=repository) + (f" (it says: {' '.join(str(said).split())[:200]})" if said else "")
    if type(error).__name__ == "OfflineModeIsEnabled":
        return "HF_HUB_OFFLINE is set: unset it to push"
    if is_unreachable(error) or any(type(one).__module__.startswith(("httpx", "httpcore")) for one in causes):
        return f"the hub cannot be reached ({reason_of(error)}): connect; {_AGAIN}"
    return f"the upload to {repository} failed: {reason_of(error)}"
