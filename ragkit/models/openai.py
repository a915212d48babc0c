"""Any server with OpenAI's interface: a cloud with its key, or one on this machine.

base_url        http://127.0.0.1:8080/v1
embeddings      {base_url}/embeddings
chat            {base_url}/chat/completions
reranking       {base_url}/rerank, or the same without /v1
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from ragkit.errors import ModelError, ModelNotFound
from ragkit.models.chat import RemoteChat, Sampling
from ragkit.models.embedding import RemoteEmbedder
from ragkit.models.failures import Failure, Trouble, error_of
from ragkit.models.http import Client, Endpoint
from ragkit.models.listing import listed, weights_of
from ragkit.models.profiles import profile_of
from ragkit.models.reranking import RemoteReranker
from ragkit.models.scoring import Score
from ragkit.types import Embedded, Kind

CONNECT: Final = 10.0
"""Seconds to wait for a connection: some of these servers are far away."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A place that many people use."""

    base_url: str
    variable: str | None = None
    """Which environment variable its key is in; None: it needs none."""


PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai": Provider("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "mistral": Provider("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "openrouter": Provider("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "groq": Provider("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "deepseek": Provider("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "xai": Provider("https://api.x.ai/v1", "XAI_API_KEY"),
    "nebius": Provider("https://api.studio.nebius.ai/v1", "NEBIUS_API_KEY"),
    "requesty": Provider("https://router.requesty.ai/v1", "REQUESTY_API_KEY"),
    "minimax": Provider("https://api.minimax.io/v1", "MINIMAX_API_KEY"),
    "ollama": Provider("http://127.0.0.1:11434/v1"),
}


def endpoint(
    provider: str,
    base_url: str | None = None,
    token_key: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Endpoint:
    """Where the provider is reached, with its key.

    The key is that of `token_key`, or of the provider's own variable where it is the provider that
    is asked: no other server ever gets that one. Raises ModelError.
    """
    known = PROVIDERS.get(provider)
    if base_url is None and known is None:
        raise ModelError(
            f"where {provider} is reached is not known", remedy=f"set base_url for {provider}"
        )
    root = _root(base_url) if base_url else known.base_url if known else ""
    variable = token_key
    if known and not token_key and _place(root) == _place(known.base_url):
        variable = known.variable
    return Endpoint(root, key=_key(variable, provider, environment) if variable else None)


def embedder(
    model: str,
    *,
    provider: str = "openai",
    base_url: str | None = None,
    token_key: str | None = None,
    dimensions: int | None = None,
    batch: int = 32,
    concurrency: int = 3,
    environment: Mapping[str, str] = os.environ,
) -> ServedEmbedder:
    """An embedding model there; nothing is asked of the server yet. Raises ModelError."""
    client = Client(endpoint(provider, base_url, token_key, environment), connect=CONNECT)
    return ServedEmbedder(
        client,
        model=model,
        name=f"{provider}/{model}",
        path="/embeddings",
        profile=profile_of(model),
        # what a cloud serves below a name does not change, and it tells nothing of it
        identity=partial(
            weights_of,
            client,
            model,
            asks=not _is_cloud(client.endpoint),
            is_ollama=provider == "ollama",
        ),
        dimensions=dimensions,
        batch=batch,
        concurrency=concurrency,
    )


def reranker(
    model: str,
    *,
    provider: str = "openai",
    base_url: str | None = None,
    token_key: str | None = None,
    score: Score = "auto",
    environment: Mapping[str, str] = os.environ,
) -> RemoteReranker:
    """A reranking model there; nothing is asked of the server yet. Raises ModelError."""
    where = endpoint(provider, base_url, token_key, environment)
    root = where.root.removesuffix("/v1")
    paths = ("/v1/rerank", "/rerank") if root != where.root else ("/rerank", "/v1/rerank")
    client = Client(Endpoint(root, key=where.key), connect=CONNECT)
    return RemoteReranker(
        client,
        model=model,
        name=f"{provider}/{model}",
        paths=paths,
        forms=("documents", "texts"),
        score=score,
        explain=partial(explained, where, model),
    )


def chat(
    model: str,
    *,
    provider: str = "openai",
    base_url: str | None = None,
    token_key: str | None = None,
    sampling: Sampling = Sampling(),  # noqa: B008
    parallel_tool_calls: bool | None = None,
    track_usage: bool = True,
    extra_body: Mapping[str, object] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> RemoteChat:
    """A chat model there; nothing is asked of the server yet. Raises ModelError."""
    client = Client(endpoint(provider, base_url, token_key, environment), connect=CONNECT)
    is_openai = urlsplit(client.endpoint.root).hostname == "api.openai.com"
    return RemoteChat(
        client,
        model=model,
        name=f"{provider}/{model}",
        path="/chat/completions",
        sampling=sampling,
        parallel_tool_calls=parallel_tool_calls,
        track_usage=track_usage,
        extra_body=extra_body,
        # OpenAI's newer models refuse the old name, and other servers do not know the new one
        max_tokens_key="max_completion_tokens" if is_openai else "max_tokens",
        explain=partial(explained, client.endpoint, model),
    )


def models(client: Client) -> list[str]:
    """Names of the models that the server has, in its order. Raises ModelError."""
    return [str(each["id"]) for each in listed(client)]


def explained(where: Endpoint, model: str, failure: Failure) -> ModelError:
    """The failure as an error, with what the server has where it does not have the model."""
    error = error_of(failure, model=model, where=where)
    if failure.trouble is Trouble.NOT_FOUND:
        return ModelNotFound(error.message, _choice(where))
    if failure.trouble is Trouble.WRONG_PATH and not where.root.endswith("/v1"):
        return type(error)(error.message, f"try base_url: {where.root}/v1")
    return error


class ServedEmbedder(RemoteEmbedder):
    """An embedder that says what else its server has where it does not have the model."""

    @property
    def dimensions(self) -> int:
        try:
            return super().dimensions
        except ModelError as error:
            raise self._named(error) from None

    def stream(self, texts: Sequence[str], kind: Kind) -> Iterator[Embedded]:
        try:
            yield from super().stream(texts, kind)
        except ModelError as error:
            raise self._named(error) from None

    def _named(self, error: ModelError) -> ModelError:
        if not isinstance(error, ModelNotFound) or error.remedy.startswith("ollama pull"):
            return error
        return ModelNotFound(error.message, _choice(self._client.endpoint))


_ENDS: Final = ("/embeddings", "/chat/completions", "/rerank", "/models")


def _root(base_url: str) -> str:
    """The base as it is used. Raises ModelError, without repeating what may be a secret."""
    root = base_url.strip().rstrip("/")
    for end in _ENDS:  # pasted from a page that shows a whole path
        root = root.removesuffix(end)
    try:
        parts = urlsplit(root)
        host, secret = parts.hostname, parts.username or parts.password or parts.query
        _ = parts.port  # raises ValueError for what is no number
    except ValueError:
        host = secret = None
    if secret:
        raise ModelError(
            "a base_url must not hold a user, a password or a query",
            remedy="name the environment variable that holds the key in token_key",
        )
    if not host or parts.scheme not in ("http", "https"):
        raise ModelError(
            f"base_url: {base_url} is not the URL of a server",
            remedy="write it as http://127.0.0.1:8080/v1",
        )
    return root


def _key(variable: str, provider: str, environment: Mapping[str, str]) -> str:
    """The key in a variable. Raises ModelError, which names the variable only."""
    key = environment.get(variable, "").strip()
    if not key:
        raise ModelError(
            f"{provider} needs a key, and the environment variable {variable} is not set",
            remedy=f"export {variable}=…, or name another variable in token_key",
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ModelError(
            f"the environment variable {variable} holds something that cannot be a key",
            remedy=f"set {variable} to the key alone",
        )
    return key


def _is_cloud(where: Endpoint) -> bool:
    clouds = [_place(known.base_url) for known in PROVIDERS.values() if known.variable]
    return _place(where.root) in clouds


def _place(url: str) -> tuple[str, str]:
    """Scheme and host: a key that is meant for TLS goes nowhere without it."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _choice(where: Endpoint) -> str:
    """What to do about a model that the server does not have."""
    client = Client(where, connect=CONNECT)
    try:
        names = models(client)
    except ModelError:
        names = []
    finally:
        client.close()
    if not names:
        return "pull it there, or name another"
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"the server has: {shown}"


_SHOWN: Final = 12
