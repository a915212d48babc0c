"""The ignore files at work in one folder: those of all folders above it, and its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from ragkit.files.ignore import Layer, Patterns, Rule, attribute_rules, ignore_rules
from ragkit.files.repository import exclude_files, git_folder, read_small

OWN, GIT, ATTRIBUTES = ".ragkitignore", ".gitignore", ".gitattributes"
MARKS = (".git", OWN, GIT, ATTRIBUTES)
"""The names in a folder that change the rules below it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Layers of rules, by what they say; None where there is none."""

    root: str
    """Absolute; what ignore files are shown relative to."""
    respect_vcs: bool
    own: Layer | None = None
    git: Layer | None = None
    generated: Layer | None = None
    vendored: Layer | None = None

    def entering(self, folder: str, names: Collection[str]) -> Rules:
        """The rules inside `folder`, an absolute path, which holds `names`.

        The top of a repository starts with git's rules anew, as git itself does there.
        """
        rules = self
        if self.respect_vcs:
            if ".git" in names and (git := git_folder(folder)):
                rules = replace(rules, git=None, generated=None, vendored=None)
                for path in exclude_files(git):
                    rules = replace(rules, git=rules._layer(rules.git, folder, path, ignore_rules))
            if GIT in names:
                path = os.path.join(folder, GIT)
                # Git does not follow a link here, either.
                if not os.path.islink(path):
                    rules = replace(rules, git=rules._layer(rules.git, folder, path, ignore_rules))
            if ATTRIBUTES in names:
                rules = rules._with_attributes(folder, os.path.join(folder, ATTRIBUTES))
        if OWN in names:
            path = os.path.join(folder, OWN)
            rules = replace(rules, own=rules._layer(rules.own, folder, path, ignore_rules))
        return rules

    def _with_attributes(self, folder: str, path: str) -> Rules:
        def about(attribute: str) -> Callable[[bytes, str], Iterator[Rule]]:
            return lambda data, shown: attribute_rules(data, shown, attribute)

        return replace(
            self,
            generated=self._layer(self.generated, folder, path, about("linguist-generated")),
            vendored=self._layer(self.vendored, folder, path, about("linguist-vendored")),
        )

    def _layer(
        self,
        outer: Layer | None,
        folder: str,
        path: str,
        read: Callable[[bytes, str], Iterator[Rule]],
    ) -> Layer | None:
        rules = list(read(read_small(path), self._shown(path)))
        base = folder if folder.endswith("/") else folder + "/"
        return Layer(base, Patterns(rules), outer) if rules else outer

    def _shown(self, path: str) -> str:
        home = os.path.expanduser("~")
        relative = os.path.relpath(path, self.root).replace(os.sep, "/")
        if relative.startswith("../../") and path.startswith(home + os.sep):
            return "~" + path[len(home) :].replace(os.sep, "/")
        return relative
