"""Flags for llama.cpp, as Docker Model Runner and llama.cpp both take them.

The two disagree: Docker Model Runner compares what stands before `=` with a list of allowed flags,
llama.cpp knows no `=` at all; so `--threads=8` passes the one and stops the other. What can be
said in another way is, and each rewriting is told.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from ragkit.errors import ConfigError

_KEY = "provider_opts.runtime_flags"

# Written with one dash; with two, neither side knows them.
_SHORT: Final = (
    "ngl ub np fa tb ctk ctv kvu sm ts mg dev fit cb nocb kvo nkvo cram cmoe ncmoe ngld devd td"
    " t c b n s C v j"
)

# What people write, and what llama.cpp calls it.
_MEANT: Final = {
    "--ctx": "--ctx-size",
    "--context": "--ctx-size",
    "--context-size": "--ctx-size",
    "--batch": "--batch-size",
    "--ubatch": "--ubatch-size",
    "--n-threads": "--threads",
    "--num-threads": "--threads",
    "--ngpu-layers": "--n-gpu-layers",
    "--top-n-sigma": "--top-nsigma",
    "--repetition-penalty": "--repeat-penalty",
}

# Each names a file, or what the runner decides itself: no version allows them.
_REFUSED: Final = (
    "-m --model -mu --model-url -hf -hfr --hf-repo -hff --hf-file -hft --hf-token -md --model-draft"
    " --mmproj -mm --mmproj-url --lora --lora-scaled --control-vector --control-vector-scaled"
    " --host --port --path -a --alias --log-file --grammar-file -jf --json-schema-file"
    " --chat-template-file --api-key-file --ssl-key-file --ssl-cert-file --slot-save-path --rpc"
    " --override-kv -ot --override-tensor --numa --offline"
)

_CHANGING: Final = re.compile(r"--pooling|--rope-.+|--yarn-.+|-ctk|-ctv|--cache-type-[kv]")

_BATCH: Final = ("-b", "--batch-size")
_UBATCH: Final = ("-ub", "--ubatch-size")
_CONTEXT: Final = ("-c", "--ctx-size")


def rewritten(flags: Sequence[object] | str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The flags as arguments, one token each, and what was changed or will be refused, in words.

    A text is split like a shell does, and at commas before a flag. Raises ConfigError.
    """
    tokens: list[str] = []
    notices: list[str] = []
    for written in _split(flags) if isinstance(flags, str) else map(_text, flags):
        sent = list(_sent(written))
        if sent != [written]:
            notices.append(_told(written, sent))
        notices.extend(_refusals(sent))
        tokens.extend(sent)
    return tuple(tokens), tuple(notices)


def is_flag(token: str) -> bool:
    """Whether it is a flag and not a value, which may be a negative number."""
    return re.match(r"--?[A-Za-z]", token) is not None


def without(flags: Sequence[str], refused: str) -> tuple[str, ...]:
    """The flags without one and its values; all of them where it is not among them."""
    kept: list[str] = []
    dropping = False
    for token in flags:
        if is_flag(token):
            dropping = token == refused
        elif token == refused:  # a value: its flag goes too
            while kept and not is_flag(kept.pop()):
                pass
            dropping = True
        if not dropping:
            kept.append(token)
    return tuple(kept)


def changing(flags: Sequence[str]) -> tuple[str, ...]:
    """Those of the flags, with their values, that change the vectors a model makes."""
    found: list[str] = []
    taking = False
    for token in flags:
        if is_flag(token):
            taking = _CHANGING.fullmatch(token) is not None
        if taking:
            found.append(token)
    return tuple(found)


def batch(flags: Sequence[str]) -> int | None:
    """Most tokens handed over at once; None where no flag says it."""
    return _number(flags, _BATCH)


def ubatch(flags: Sequence[str]) -> int | None:
    """Most tokens worked on at once; None where no flag says it."""
    return _number(flags, _UBATCH)


def context(flags: Sequence[str]) -> int | None:
    """Tokens of context; None where no flag says it."""
    return _number(flags, _CONTEXT)


def value(flags: Sequence[str], *names: str) -> str | None:
    """What stands after the last of the flags that has one of the names."""
    found = None
    for flag, following in pairwise(flags):
        if flag in names:
            found = following
    return found


def _number(flags: Sequence[str], names: tuple[str, ...]) -> int | None:
    written = value(flags, *names)
    return int(written) if written is not None and re.fullmatch(r"\d{1,9}", written) else None


def _told(written: str, sent: Sequence[str]) -> str:
    if re.search("key|token", sent[0]):
        return f"runtime_flags: {sent[0]}=… is sent as {sent[0]} …"
    return f"runtime_flags: {written} is sent as {shlex.join(sent)}"


def _text(item: object) -> str:
    if isinstance(item, bool):  # YAML reads `on` as true, and llama.cpp's switches take `on`
        return "on" if item else "off"
    if isinstance(item, str | int | float):
        return str(item).strip()
    raise ConfigError(f"{_KEY}: {item!r} is not a flag", 'write it as a text: "--threads"')


def _split(text: str) -> Iterator[str]:
    """The words of a shell's line; a comma parts them too, unless it is inside a value."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(
            f"{_KEY}: {text}: a quotation mark is not closed", "close it, or write a list"
        ) from error
    for word in words:
        parts = word.split(",")
        gathered = parts[0]
        for before, part in pairwise(parts):
            # `-ngl,33` and `--ngl=33,--threads=8` are parted, `-ts 3,1` and `-ts=3,1` are not
            opens = is_flag(before) and "=" not in before
            if opens or not part or is_flag(part):
                if gathered:
                    yield gathered
                gathered = part
            else:
                gathered = f"{gathered},{part}" if gathered else part
        if gathered:
            yield gathered


def _sent(written: str) -> Iterator[str]:
    """What is sent for one item: a flag by the name that is taken, then its value."""
    if not is_flag(written):
        yield written
        return
    if re.search(r"\s", written.partition("=")[0]):  # `--threads 8` as one item
        for word in _split(written):
            yield from _sent(word)
        return
    flag, equals, rest = written.partition("=")
    yield _named(flag)
    if equals and rest:
        yield rest


def _named(flag: str) -> str:
    if not flag.startswith("--"):
        return flag
    if flag[2:] in _SHORT.split():
        return flag[1:]
    hyphened = flag.replace("_", "-")
    return _MEANT.get(hyphened, hyphened)


def _refusals(sent: Sequence[str]) -> Iterator[str]:
    for token in sent:
        if is_flag(token) and token in _REFUSED.split():
            yield (
                f"runtime_flags: Docker Model Runner refuses {token}: "
                "it names a file or what the runner decides itself; take it out"
            )
        elif "/" in token or "\\" in token:
            yield (
                f"runtime_flags: Docker Model Runner refuses {token}: "
                "nothing with a slash is allowed; take it out"
            )
