"""Pulling models into a runner: the question, the bar and the report, all of them on stderr."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import click

from ragkit.cli.runners import until_left
from ragkit.cli.tables import bytes_in_words
from ragkit.errors import ModelError, ModelNotFound
from ragkit.models.dmr.references import is_on_hugging_face

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ragkit.models.dmr.records import LocalModel, PullProgress
    from ragkit.models.dmr.runner import Runner

Ask: TypeAlias = Callable[[str], str]
"""Puts a question to the user and gives the answer as it was typed; "" at the end of input."""
Show: TypeAlias = "Callable[[str, Iterable[PullProgress]], None]"
"""Goes through the progress of pulling a model and shows it."""

QUESTION: Final = "Model {} not found locally. Do you want to pull it now? ([y]es/[n]o)"
PATIENCE: Final = 2.0
"""Seconds that a question waits for the registry to say how large the model is."""


def is_interactive() -> bool:
    """Whether somebody can be asked: questions go to stderr, answers come from stdin."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def answer(question: str) -> str:
    """Ask on stderr, for stdout belongs to the results."""
    click.echo(f"{question}: ", nl=False, err=True)
    line = sys.stdin.readline()
    if not line.endswith("\n"):
        click.echo(err=True)
    return line


def ensure_pulled(
    runner: Runner,
    references: Iterable[str],
    *,
    pull: bool | None = None,
    interactive: bool | None = None,
    ask: Ask = answer,
    show: Show | None = None,
) -> list[str]:
    """Pull those of the models that the runner does not have; the references that were pulled.

    `pull`: True pulls without a question, False never pulls, None asks where somebody can be
    asked. All questions come before the first pull, so that a declined one changes nothing.
    Raises ModelNotFound where nobody agreed, ModelError where it was declined or the pull fails.
    """
    missing = [one for one in dict.fromkeys(references) if runner.model(one) is None]
    if not pull:
        if missing and (
            pull is False or not (is_interactive() if interactive is None else interactive)
        ):
            raise not_found(missing)
        for reference in missing:
            _agreed(runner, reference, ask)
    for reference in missing:
        pull_one(runner, reference, show=show)
    return missing


def not_found(references: Sequence[str]) -> ModelNotFound:
    """The error for models that a runner does not have, with the two ways to get them."""
    commands = " && ".join(f"docker model pull {reference}" for reference in references)
    which = ", ".join(references)
    return ModelNotFound(
        f"{which}: not found locally; Docker Model Runner pulls nothing by itself",
        remedy=f"run `{commands}`, or give --pull",
    )


def pull_one(runner: Runner, reference: str, *, show: Show | None = None) -> LocalModel | None:
    """Pull a model and say on stderr what came; None where the runner cannot describe it.

    Interrupting it cancels the pull. Raises ModelError.
    """
    last: list[PullProgress] = []

    def noted(steps: Iterable[PullProgress]) -> Iterator[PullProgress]:
        for step in steps:
            last[:] = [step]
            yield step

    with until_left(runner.pull(reference)) as steps:
        (show or watch)(reference, noted(steps))
    model = runner.model(reference)
    words = ", ".join(filter(None, _described(model))) if model else ""
    done = _outcome(last[0].message if last else "")
    click.echo(f"{done} {reference}" + (f": {words}" if words else ""), err=True)
    if model and (got := other_quantization(reference, model.quantization)):
        mark = click.style("note:", fg="yellow")
        click.echo(
            f"{mark} {reference}: its quantization is {got}; the repository has no other "
            "that fits the tag",
            err=True,
        )
    return model


def other_quantization(reference: str, got: str) -> str:
    """The quantization that came in place of the one that a Hugging Face tag asks for, or "".

    A tag without a file of that quantization is no error there: another file is taken.
    """
    name, _, tag = reference.rpartition(":")
    if not is_on_hugging_face(reference) or "/" in tag or not name or tag == "latest" or not got:
        return ""
    # gguf-parser's names: "Q8_0", "MOSTLY_Q4_0", "IQ2_XXS/Q4_K_M" for two that share a number
    known = {_letters(part.upper().removeprefix("MOSTLY_")) for part in got.split("/")}
    return "" if _letters(tag.upper().removeprefix("UD-")) in known else got


def watch(reference: str, progress: Iterable[PullProgress]) -> None:
    """Show a pull on stderr: bars on a terminal, else a line every tenth."""
    drawing = _Bars(reference) if sys.stderr.isatty() else _Lines(reference)
    try:
        for step in progress:
            drawing.step(step)
    finally:
        drawing.stop()


class Tally:
    """How many bytes of one phase have come, in all and of each layer."""

    def __init__(self) -> None:
        self.phase = ""
        self.layers: dict[str, tuple[int, int]] = {}
        self.announced = 0

    def add(self, step: PullProgress) -> bool:
        """Count a step; True where it begins a phase."""
        begins = step.phase != self.phase
        if begins:
            self.phase, self.layers, self.announced = step.phase, {}, 0
        self.announced = max(self.announced, step.total)
        if step.layer or step.size:
            self.layers[step.layer] = (min(step.current, step.size), step.size)
        return begins

    @property
    def total(self) -> int:
        """Bytes of the phase: as announced, or of the layers that are known so far."""
        return max(self.announced, sum(size for _, size in self.layers.values()))

    @property
    def current(self) -> int:
        return sum(current for current, _ in self.layers.values())


class _Lines:
    """For logs: a line when something begins and at every tenth of it."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        self.tally = Tally()
        self.told = 0
        click.echo(f"pulling {reference}", err=True)

    def step(self, step: PullProgress) -> None:
        if step.phase == "info" and step.message:
            click.echo(f"{self.reference}: {step.message}", err=True)
        if step.phase not in ("downloading", "storing"):
            return
        if self.tally.add(step):
            self.told = 0
        total, current = self.tally.total, self.tally.current
        tenths = 10 * current // total if total else 0
        if tenths > self.told:
            self.told = tenths
            click.echo(
                f"{self.reference}: {step.phase} {10 * tenths} % "
                f"({bytes_in_words(current)} of {bytes_in_words(total)})",
                err=True,
            )

    def stop(self) -> None:
        pass


class _Bars:
    """For terminals: one bar for the phase and one for each of its layers."""

    def __init__(self, reference: str) -> None:
        # rich takes 70 ms to import: only where there is something to draw
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self.reference = reference
        self.tally = Tally()
        self.bars: dict[str, TaskID] = {}
        self.progress: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.whole = self.progress.add_task(f"pulling {reference}", total=None)
        self.progress.start()

    def step(self, step: PullProgress) -> None:
        if step.phase == "info" and step.message:
            self.progress.console.print(step.message, markup=False, highlight=False, style="dim")
        if step.phase not in ("downloading", "storing"):
            return
        if self.tally.add(step):
            for bar in self.bars.values():
                self.progress.remove_task(bar)
            self.bars.clear()
            self.progress.reset(self.whole, description=f"{step.phase} {self.reference}")
        for layer, (current, size) in self.tally.layers.items():
            if layer not in self.bars:
                self.bars[layer] = self.progress.add_task(_named(layer), total=size)
            self.progress.update(self.bars[layer], completed=current, total=size)
        self.progress.update(
            self.whole, completed=self.tally.current, total=self.tally.total or None
        )

    def stop(self) -> None:
        self.progress.stop()


def _named(layer: str) -> str:
    digest = layer.removeprefix("sha256:")
    return f"  {digest[:12] or 'model'}"


def _agreed(runner: Runner, reference: str, ask: Ask) -> None:
    """Returns if the user says yes. Raises ModelError for any other answer."""
    if words := ", ".join(filter(None, _described(_remote(runner, reference)))):
        click.echo(f"{reference}: {words}", err=True)
    if ask(QUESTION.format(reference)).strip().lower() not in ("y", "yes"):
        raise ModelError(
            f"{reference}: model pull declined by user",
            remedy=f"run `docker model pull {reference}`, or name another model",
        )


def _described(model: LocalModel | None) -> Iterator[str]:
    if model is not None:
        yield f"{model.parameters} parameters" if model.parameters else ""
        yield model.quantization
        yield model.size


def _remote(runner: Runner, reference: str) -> LocalModel | None:
    """What the model's registry says about it, if it says so soon."""
    found: list[LocalModel | None] = []

    def look() -> None:
        try:
            found.append(runner.remote(reference))
        except ModelError:
            found.append(None)

    # a daemon: a registry that does not answer must not keep the program from ending
    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(PATIENCE)
    return found[0] if found else None


def _outcome(message: str) -> str:
    """What the last line of a pull means, in one word or two."""
    if message.startswith("Using cached"):
        return "up to date:"
    return "pulled" if not message or "pulled" in message else f"{message}:"


def _letters(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", text)
