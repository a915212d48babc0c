"""What a model server's refusal means: its status and its words, made one of a dozen troubles.

Servers agree on little. Docker Model Runner's own errors are plain text, llama.cpp's are JSON with
numbers in a sentence, and others have theirs; so the body is text first, JSON second, and what it
says counts for more than its status.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Final

from ragkit.errors import InputTooLong, ModelBusy, ModelError, ModelNotFound, ModelUnreachable
from ragkit.models.http import Endpoint, Reply, Unanswered

_LONGEST_MESSAGE = 300


class Trouble(Enum):
    """What kind of failure it is, and so what helps."""

    UNREACHABLE = auto()
    """Nothing listens there; a server that answered before may be starting again."""
    SLOW = auto()
    """No answer in time: less at once, or more time."""
    TRANSIENT = auto()
    """The connection or a proxy between broke: try again."""
    DIED = auto()
    """The model's process ended in the middle of the work: once more with half of it."""
    BUSY = auto()
    """The server says to wait."""
    OVERLOADED = auto()
    """The model's memory was full of other requests' tokens: fewer at once."""
    BODY_TOO_LARGE = auto()
    """The request as a whole is too large: send less in one."""
    INPUT_TOO_LONG = auto()
    """One of the texts has more tokens than the model takes."""
    NOT_LOADED = auto()
    """The server could not start the model."""
    NOT_FOUND = auto()
    """The server does not have the model."""
    WRONG_PATH = auto()
    """The server does not have this path, or not for this method."""
    DENIED = auto()
    """The key is missing or wrong, or may not do this."""
    REFUSED = auto()
    """Anything else, and the same would happen again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request did not succeed."""

    trouble: Trouble
    status: int | None = None
    """None where no answer came."""
    message: str = ""
    """The first useful line of what the server said."""
    tokens: int | None = None
    """Of the text that is too long, where the server says it …"""
    limit: int | None = None
    """… and what the model takes."""
    wait: float | None = None
    """Seconds that the server asks to wait."""


def failure_of(reply: Reply | Unanswered) -> Failure:
    """What went wrong, from an answer that is not 2xx or from none at all."""
    if isinstance(reply, Unanswered):
        trouble = {"timeout": Trouble.SLOW, "reset": Trouble.TRANSIENT}.get(
            reply.reason, Trouble.UNREACHABLE
        )
        return Failure(trouble, message=reply.message)
    text = reply.text
    tokens, limit = _numbers(text)
    return Failure(
        _trouble(reply.status, text),
        reply.status,
        _first_line(text),
        tokens,
        limit,
        _wait(reply.headers),
    )


def error_of(failure: Failure, *, model: str, where: Endpoint) -> ModelError:
    """The failure as an error that says what, where and what to do; never with the key in it."""
    words = failure.message
    if where.key:
        words = words.replace(where.key, "…")
    status = f" (status {failure.status})" if failure.status else ""
    said = f"{where}: {model}: {words or 'no reason given'}{status}"
    match failure.trouble:
        case Trouble.UNREACHABLE | Trouble.SLOW | Trouble.TRANSIENT if failure.status is None:
            return ModelUnreachable(words, "start the model server, or look at its log")
        case Trouble.BUSY | Trouble.OVERLOADED:
            return ModelBusy(said, "ask again when the server has less to do")
        case Trouble.INPUT_TOO_LONG:
            return InputTooLong(
                said, "make chunks smaller", tokens=failure.tokens, limit=failure.limit
            )
        case Trouble.NOT_FOUND:
            return ModelNotFound(
                f"{where} has no model {model}{status}", "pull it, or name another"
            )
        case Trouble.WRONG_PATH:
            return ModelUnreachable(
                f"{where}: does not serve this{status}: {words or 'no reason given'}",
                "check base_url: it is where the server's own paths begin",
            )
        case Trouble.DENIED:
            # subtle: some servers repeat a part of the key that they do not know
            why = f": {words}" if words and failure.status != 401 else ""
            return ModelError(
                f"{where}: {model}: access denied{status}{why}",
                "check the key that token_key names",
            )
    return ModelError(said, _remedy(failure))


def _remedy(failure: Failure) -> str:
    words = failure.message.lower()
    if failure.trouble is Trouble.NOT_LOADED:
        if "invalid argument" in words:
            return "take the flag out of runtime_flags"
        return "look at the server's log (docker model logs); a smaller model may fit"
    if failure.trouble is Trouble.DIED:
        return "look at the server's log (docker model logs); it may lack memory"
    if "pooling type 'none'" in words:
        return "choose an embedding model"
    if failure.status == 501:
        return "choose a model for this task, and check runtime_flags"
    if failure.status == 412:
        return "install what the message names"
    if failure.trouble is Trouble.TRANSIENT:
        return "look at the server's log (docker model logs)"
    return ""


# What the words say, whatever the status; the first that is found decides.
_WORDS: Final[tuple[tuple[Trouble, re.Pattern[str]], ...]] = tuple(
    (trouble, re.compile(pattern, re.IGNORECASE))
    for trouble, pattern in (
        (Trouble.OVERLOADED, r"context size has been exceeded|free space in the kv"),
        (
            Trouble.INPUT_TOO_LONG,
            r"too large to process|larger than the max context size|exceed_context_size_error"
            r"|exceeds the (available )?context|context_length_exceeded|maximum context length"
            r"|maximum model length|must have less than \d+ tokens",
        ),
        (
            Trouble.BODY_TOO_LARGE,
            r"request too large|request entity too large|max(imum)? allowed batch size"
            r"|tokens per request|batch size .*exceed|in one batch",
        ),
        (
            Trouble.BUSY,
            r"backend loading disabled|(?<!error )loading model|model is (still )?loading",
        ),
        (Trouble.TRANSIENT, r"took too long to initialize|context canceled"),
        (Trouble.NOT_LOADED, r"unable to load runner"),
        (Trouble.DIED, r'"sequence_number"\s*:|terminated unexpectedly'),
        (
            Trouble.NOT_FOUND,
            r"model_not_found|model [^\n]{0,200}?(not found|does not exist)|unknown model",
        ),
        # money is not a matter of waiting, nor is a model that cannot do it
        (Trouble.REFUSED, r"insufficient_quota|does not support logits computation"),
    )
)

_STATUSES: Final[Mapping[int, Trouble]] = {
    401: Trouble.DENIED,
    403: Trouble.DENIED,
    404: Trouble.WRONG_PATH,
    405: Trouble.WRONG_PATH,
    408: Trouble.SLOW,
    409: Trouble.BUSY,
    413: Trouble.BODY_TOO_LARGE,
    423: Trouble.BUSY,
    425: Trouble.BUSY,
    429: Trouble.BUSY,
    500: Trouble.TRANSIENT,
    502: Trouble.TRANSIENT,
    503: Trouble.BUSY,
    504: Trouble.SLOW,
    529: Trouble.BUSY,
}


def _trouble(status: int, text: str) -> Trouble:
    if status >= 400:
        for trouble, pattern in _WORDS:
            if pattern.search(text):
                return trouble
    if 520 <= status <= 524:  # a proxy could not reach its server
        return Trouble.TRANSIENT
    if status == 500 and re.search(
        r"must not be|invalid|unsupported|parse.error|utf-8", text, re.IGNORECASE
    ):
        return Trouble.REFUSED
    return _STATUSES.get(status, Trouble.REFUSED)


# (tokens, limit), or the other way round where `limit` is named first
_NUMBERS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        r"\((?P<tokens>\d+) tokens\).{0,90}?current batch size\D{0,4}(?P<limit>\d+)",
        r"\((?P<tokens>\d+) tokens\).{0,60}?context size \((?P<limit>\d+) tokens\)",
        r'"n_prompt_tokens"\s*:\s*(?P<tokens>\d+).{0,40}?"n_ctx"\s*:\s*(?P<limit>\d+)',
        r"maximum (?:context|model) length (?:is|of) (?P<limit>\d+)"
        r".{0,60}?(?:requested|contains|has|passed|resulted in)\D{0,30}(?P<tokens>\d+)",
        r"less than (?P<limit>\d+) tokens\W+given\W+(?P<tokens>\d+)",
        r"maximum (?:context|model) length (?:is|of) (?P<limit>\d+)(?P<tokens>)",
    )
)


def _numbers(text: str) -> tuple[int | None, int | None]:
    """Tokens of the text that is too long, and the limit, as far as the server says them."""
    for pattern in _NUMBERS:
        if found := pattern.search(text):
            return int(found["tokens"]) if found["tokens"] else None, int(found["limit"])
    return None, None


def _first_line(text: str) -> str:
    """What a person should read of an error's body, on one line, without control characters."""
    said = _said(text)
    if said.lstrip()[:1] == "<":
        title = re.search(r"<title[^>]*>([^<]*)", said, re.IGNORECASE)
        said = f"a web page: {' '.join(title[1].split())}" if title else "a web page"
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    first = lines[0] if lines else ""
    # llama.cpp tells which flag it does not know further down, in what it printed last
    flag = next((line for line in lines[1:] if "invalid argument" in line), "")
    line = f"{first.rstrip(':')}: {flag}" if flag else first
    shown = "".join(c for c in line if c.isprintable())
    return f"{shown[: _LONGEST_MESSAGE - 1]}…" if len(shown) > _LONGEST_MESSAGE else shown


def _said(text: str) -> str:
    """The message inside a JSON error of whatever shape; the text itself where there is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    for _ in range(4):  # {"error": {"message": …}}, {"detail": [{"msg": …}]}, and the like
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value:
            value = value[0]
        elif isinstance(value, dict):
            keys = ("error", "message", "detail", "msg", "title")
            value = next((value[key] for key in keys if value.get(key)), None)
    return value if isinstance(value, str) else text


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After asks for, given as a number or as a date; None without it."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds < 1e9 else None
