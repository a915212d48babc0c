"""One model runner: what it has, what it runs, and how it is told to."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from ragkit.errors import ModelBusy, ModelError, ModelNotFound, ModelUnreachable
from ragkit.models.dmr import records
from ragkit.models.dmr.discovery import FIXES
from ragkit.models.dmr.pulling import pulled
from ragkit.models.dmr.records import (
    Configuration,
    Configured,
    LocalModel,
    PullProgress,
    Running,
    Speculative,
)
from ragkit.models.dmr.references import asked, canonical, is_id, is_on_hugging_face
from ragkit.models.failures import error_of, failure_of
from ragkit.models.http import Client, Endpoint, Reply, Unanswered

__all__ = [
    "Configuration",
    "Configured",
    "FlagRefused",
    "LocalModel",
    "PullProgress",
    "Runner",
    "Running",
    "Speculative",
]

PAUSES: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts where the connection or what is before the runner broke."""
_BUSY_PAUSES: Final = (*PAUSES, 15.0, 15.0, 15.0)
"""A minute in all, for a runner that is computing."""
_A_DAY: Final = 86_400.0


class FlagRefused(ModelError):
    """The runner does not allow a flag, and refuses the whole configuration for it."""

    def __init__(self, message: str, remedy: str, flag: str) -> None:
        super().__init__(message, remedy)
        self.flag = flag
        """The flag, or the value that it refuses."""


class Runner:
    """Speaks to one model runner. Thread-safe. Every method raises ModelError."""

    def __init__(
        self, endpoint: Endpoint, *, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.endpoint = endpoint
        self.client = Client(endpoint)
        self.sleep = sleep
        """How to wait; tests do not."""

    def version(self) -> str | None:
        """Its version; None where it does not tell, as older ones and Docker Desktop's."""
        reply = self._ask("GET", "/version")
        value = _json(reply)
        return str(value["version"]) if isinstance(value, dict) and "version" in value else None

    def backends(self) -> dict[str, str]:
        """The engines and what state each is in, in words; {} where it does not tell."""
        value = _json(self._ask("GET", "/engines/status"))
        return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}

    def models(self) -> list[LocalModel]:
        """All that can be used at once, in the runner's order."""
        reply = self._ask("GET", "/models")
        value = _json(reply)
        if isinstance(value, list) or (value is None and reply.status == 200):
            return [records.local_model(one) for one in value or [] if isinstance(one, dict)]
        if reply.status not in (200, 404, 405):
            raise self._error(reply, "its models")
        # a server that speaks OpenAI only
        for path in ("/engines/v1/models", "/v1/models"):
            listed = _json(self._ask("GET", path))
            if isinstance(listed, dict) and isinstance(listed.get("data"), list):
                return [records.listed_model(one) for one in listed["data"]]
        raise ModelUnreachable(
            f"{self.endpoint}: something else than Docker Model Runner answers", FIXES
        )

    def model(self, reference: str) -> LocalModel | None:
        """The model that requests with this reference reach; None where it is not there.

        The runner resolves it as it does for requests. Its other look-up, by the last part of a
        name, is never used: it finds models that requests do not.
        """
        name = asked(reference)
        if not name:
            return None
        reply = self._ask("GET", f"/engines/v1/models/{_quoted(name)}")
        entry = _json(reply)
        if isinstance(entry, dict) and entry.get("object") == "model":
            described = _json(self._ask("GET", f"/models/{_quoted(name)}"))
            if isinstance(described, dict):
                return records.local_model(described, name)
            return replace(records.listed_model(entry), reference=name)
        if reply.status == 404 and "model not found" in reply.text.lower():
            # older commands wrote tags of Hugging Face in lower case, and the runner minds
            return self._listed(reference) if is_on_hugging_face(reference) else None
        if reply.status in (200, 404, 405):
            return self._listed(reference)
        raise self._error(reply, reference)

    def remote(self, reference: str) -> LocalModel | None:
        """What the model's registry says of it; None where it does not know it or is not reached.

        Asked of the runner, which asks the registry: that can take a while.
        """
        name = asked(reference)
        try:
            reply = self.client.send("GET", f"/models/{_quoted(name)}?remote=true", timeout=10)
        except Unanswered as error:
            if error.reason == "timeout":
                return None
            raise
        value = _json(reply)
        return records.local_model(value, name) if isinstance(value, dict) else None

    def pull(self, reference: str, token: str | None = None) -> Iterator[PullProgress]:
        """Get a model, or bring one up to date; ends after `success`, else raises.

        Closing the iterator cancels the pull. `token` goes to Hugging Face only. Where the model is
        there and its registry cannot be asked, that is told and what is there stays.
        Raises ModelNotFound for what its registry does not have or does not give.
        """
        there = self.model(reference)
        try:
            yield from pulled(self.client, reference, token, sleep=self.sleep)
        except ModelError as error:
            if there is None:
                raise
            yield PullProgress("info", f"not brought up to date: {error.message}")
            yield PullProgress("success", "what is there stays")

    def remove(self, reference: str, *, force: bool = False) -> list[str]:
        """Take a model's tag away, and the model with its last one: lines that say what went.

        With `force` also a model that has several tags, by its id.
        """
        # subtle: the name goes with its organisation, or `purge` would delete every model
        path = f"/models/{_quoted(asked(reference))}"
        reply = self._ask("DELETE", f"{path}?force=true" if force else path)
        if reply.status == 404:
            raise ModelNotFound(
                f"{self.endpoint} has no model {reference}",
                "`ragkit models list` shows what it has",
            )
        if reply.status == 409:
            raise ModelError(
                f"{reference} has several tags", "name one of its tags, or give --force"
            )
        if reply.status != 200:
            raise self._error(reply, reference)
        gone = _json(reply)
        entries = [one for one in gone if isinstance(one, dict)] if isinstance(gone, list) else []
        return [f"{what}: {name}" for entry in entries for what, name in entry.items()]

    def running(self) -> list[Running]:
        """The models that are loaded."""
        value = _json(self._ask("GET", "/engines/ps"))
        return [records.running(one) for one in value or [] if isinstance(one, dict)]

    def unload(self, *references: str) -> int:
        """Free the memory of these models; how many processes ended. What computes stays."""
        if not references:
            return 0
        # subtle: an empty backend keeps their configurations; and never `all`, which takes those
        # of every other client away
        body = {"all": False, "backend": "", "models": [asked(one) for one in references]}
        value = self._object("POST", "/engines/unload", body)
        return int(value.get("unloaded_runners") or 0)

    def configurations(self, reference: str) -> list[Configured]:
        """How the model was configured by whichever client; [] where nobody did or it is untold."""
        path = f"/engines/_configure?model={quote(asked(reference), safe='')}"
        value = _json(self._ask("GET", path))
        entries = value if isinstance(value, list) else []
        return [records.configured(one) for one in entries if isinstance(one, dict)]

    def configure(self, configuration: Configuration) -> None:
        """Set how a model is run, from the next time it is loaded.

        Raises FlagRefused; ModelBusy where it has computed for a minute without a pause.
        """
        body = {**configuration.body(), "model": asked(configuration.model)}
        reply = self._ask("POST", "/engines/_configure", body, busy=True)
        if 200 <= reply.status < 300:
            return
        if reply.status == 409:
            raise ModelBusy(
                f"{configuration.model} is in use and cannot be configured now",
                "wait until nothing else uses it",
            )
        found = re.search(r'(?:runtime )?flag "((?:[^"\\]|\\.)+)"', reply.text)
        if found:
            raise FlagRefused(
                f"{self.endpoint} refuses the flag {found[1]}",
                "take it out of runtime_flags",
                found[1].replace("\\\\", "\\").replace('\\"', '"'),
            )
        raise self._error(reply, configuration.model)

    def logs(self, *, follow: bool = False, engines: bool = True) -> Iterator[str]:
        """Lines of its log, and of the engines' merged with it; with `follow` on and on."""
        query = f"follow={_word(follow)}&no-engines={_word(not engines)}"
        wait = _A_DAY if follow else 60.0
        with self.client.stream("GET", f"/logs?{query}", timeout=wait) as stream:
            if stream.status != 200:
                stream.read()
                raise ModelError(
                    f"{self.endpoint} does not show its log (status {stream.status})",
                    "run `docker model logs`",
                )
            yield from stream.lines()

    def disk(self) -> tuple[int, int]:
        """Bytes that the models take, and the engine."""
        value = self._object("GET", "/engines/df")
        return (
            int(value.get("models_disk_usage") or 0),
            int(value.get("default_backend_disk_usage") or 0),
        )

    def _listed(self, reference: str) -> LocalModel | None:
        """From the list of all models, by what the names mean."""
        wanted = canonical(reference)
        for model in self.models():
            if is_id(wanted):
                if wanted in (model.id, model.id.removeprefix("sha256:")[:12]):
                    return model
                continue
            for tag in model.tags:
                name = canonical(tag)
                if name == wanted or (
                    is_on_hugging_face(wanted) and name.lower() == wanted.lower()
                ):
                    return replace(model, reference=tag)
        return None

    def _object(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        reply = self._ask(method, path, body)
        value = _json(reply)
        if not isinstance(value, dict):
            raise self._error(reply, path.partition("?")[0])
        return value

    def _ask(self, method: str, path: str, body: object = None, *, busy: bool = False) -> Reply:
        """The answer, of whatever status; tried again where trying again may help.

        `busy`: also where the runner says that it is.
        """
        again = {502, 503, 504, 409} if busy else {502, 503, 504}
        for pause in _BUSY_PAUSES if busy else PAUSES:
            try:
                reply = self.client.send(method, path, body, timeout=30)
                if reply.status not in again:
                    return reply
            except Unanswered as error:
                if error.reason != "reset":
                    raise _with_fixes(error) from error
            self.sleep(pause)
        return self.client.send(method, path, body, timeout=30)

    def _error(self, reply: Reply, what: str) -> ModelError:
        if 200 <= reply.status < 300:
            return ModelUnreachable(
                f"{self.endpoint}: something else than Docker Model Runner answers", FIXES
            )
        return error_of(failure_of(reply), model=what, where=self.endpoint)


def not_found(runner: Runner, reference: str, *, size: bool = True) -> ModelNotFound:
    """The error for a model that is not there: its name, its size where known, how to get it."""
    there = runner.remote(reference) if size else None
    words = f" ({there.size})" if there and there.size else ""
    return ModelNotFound(
        f"model {reference} is not in Docker Model Runner at {runner.endpoint}; "
        "it pulls nothing by itself",
        f"pull it{words}: `docker model pull {reference}` or `ragkit models pull {reference}`, "
        "or give --pull",
    )


def _with_fixes(error: Unanswered) -> Unanswered:
    return Unanswered(error.message, error.reason, error.remedy or FIXES)


def _json(reply: Reply) -> Any:
    """The value of a successful reply; None where it is none or the reply is no success."""
    if not 200 <= reply.status < 300:
        return None
    try:
        return reply.json()
    except ModelError:
        return None


def _quoted(name: str) -> str:
    return quote(name, safe="/:@")


def _word(value: bool) -> str:
    return "true" if value else "false"
