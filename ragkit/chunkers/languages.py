"""The language of a file, by its name, its suffix or the program that its first line calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath


def language_of(path: str, head: str = "") -> str | None:
    """The language of the file at `path`, such as "python"; None for plain text.

    `head` is the start of its text; only its first line is looked at, and only where the name
    does not tell.
    """
    name = PurePosixPath(path).name.lower()
    if name in _NAMES:
        return _NAMES[name]
    # the longest suffix that is known: `x.blade.php`, then `x.php`
    suffixes = name.split(".")[1:]
    for start in range(len(suffixes)):
        language = _SUFFIXES.get(".".join(suffixes[start:]))
        if language:
            return language
    return _by_program(head.partition("\n")[0])


def _by_program(line: str) -> str | None:
    """`#!/usr/bin/env -S python3.12 -u` → "python"."""
    if not line.startswith("#!"):
        return None
    for word in line[2:].split():
        program = word.rpartition("/")[2]
        if program != "env" and not word.startswith("-") and "=" not in word:
            return _PROGRAMS.get(program.rstrip("0123456789."))
    return None


def _spread(table: Mapping[str, str]) -> dict[str, str]:
    """{"python": "py pyi"} → {"py": "python", "pyi": "python"}."""
    return {word: language for language, words in table.items() for word in words.split()}


_SUFFIXES = _spread(
    {
        "asciidoc": "adoc asciidoc asc",
        "bash": "sh bash zsh ksh bats ebuild",
        "c": "c",
        "clojure": "clj cljs cljc edn",
        "cmake": "cmake",
        # the grammar of C++ reads the headers of C as well
        "cpp": "cpp cc cxx c++ h hh hpp hxx h++ ipp inl tpp cu cuh ino",
        "csharp": "cs csx",
        "css": "css",
        "dart": "dart",
        "dockerfile": "dockerfile containerfile",
        "elixir": "ex exs",
        "erlang": "erl hrl escript",
        "fortran": "f90 f95 f03 f08 f for",
        "go": "go",
        "graphql": "graphql gql graphqls",
        "groovy": "groovy gradle gvy",
        "haskell": "hs",
        "hcl": "hcl tf tfvars nomad",
        "html": "html htm xhtml",
        "ini": "ini cfg conf properties editorconfig",
        "java": "java",
        "javascript": "js mjs cjs jsx es6",
        "json": "json jsonc json5 geojson webmanifest",
        "julia": "jl",
        "kotlin": "kt kts",
        "lua": "lua",
        "make": "mk mak make",
        "markdown": "md markdown mdown mkd mdx qmd rmd ipynb",
        "nix": "nix",
        "objc": "m mm",
        "ocaml": "ml",
        "perl": "pl pm t psgi",
        "php": "php phtml php3 php4 php5 phps",
        "powershell": "ps1 psm1 psd1",
        "proto": "proto",
        "python": "py pyi pyw pyx pxd bzl bazel star",
        "r": "r",
        "rst": "rst rest",
        "ruby": "rb rake gemspec ru podspec thor",
        "rust": "rs",
        "scala": "scala sc sbt",
        "scss": "scss",
        "solidity": "sol",
        "sql": "sql ddl dml pgsql mysql",
        "svelte": "svelte",
        "swift": "swift",
        "toml": "toml",
        "tsx": "tsx",
        "typescript": "ts mts cts",
        "vue": "vue",
        "xml": "xml xsd xsl xslt svg plist csproj fsproj vbproj wsdl rss atom",
        "yaml": "yaml yml",
        "zig": "zig zon",
    }
)

_NAMES = _spread(
    {
        "bash": ".bashrc .bash_profile .bash_aliases .profile .zshrc .zshenv .zprofile .envrc"
        " pkgbuild",
        "cmake": "cmakelists.txt",
        "dockerfile": "dockerfile containerfile",
        "groovy": "jenkinsfile",
        "ini": ".gitconfig .gitmodules .editorconfig .npmrc .flake8 .pylintrc .coveragerc",
        "json": ".prettierrc .eslintrc .babelrc composer.lock flake.lock pipfile.lock",
        "make": "makefile gnumakefile bsdmakefile",
        "python": "sconstruct sconscript tiltfile",
        "ruby": "gemfile rakefile guardfile vagrantfile podfile brewfile fastfile capfile",
        "toml": "cargo.lock poetry.lock uv.lock pipfile pdm.lock",
        "yaml": ".clang-format .clang-tidy",
    }
)

_PROGRAMS = _spread(
    {
        "bash": "sh bash zsh ksh dash ash bats",
        "elixir": "elixir",
        "erlang": "escript",
        "groovy": "groovy",
        "javascript": "node nodejs bun",
        "julia": "julia",
        "kotlin": "kotlin",
        "lua": "lua luajit",
        "make": "make gmake",
        "ocaml": "ocaml",
        "perl": "perl",
        "php": "php",
        "powershell": "pwsh",
        "python": "python pypy",
        "r": "Rscript",
        "ruby": "ruby jruby",
        "scala": "scala",
        "swift": "swift",
        "typescript": "deno ts-node tsx",
    }
)

LANGUAGES = frozenset({*_SUFFIXES.values(), *_NAMES.values(), *_PROGRAMS.values()})
"""Every language that `language_of` may find."""
