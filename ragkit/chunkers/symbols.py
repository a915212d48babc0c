"""Which nodes of a syntax tree define a symbol, and where its name stands: data, by language.

A node without a rule defines nothing, and is only cut where it must be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tree_sitter import Node

Name: TypeAlias = "tuple[Node, ...]"
"""The nodes whose texts, joined by dots, are a symbol's name."""
Naming: TypeAlias = "Callable[[Node, Rules, bytes], Iterable[Name]]"
"""f(node, rules, source): the names of the symbols that the node defines; none if it does not."""
Rules: TypeAlias = Mapping[str, "Naming"]

_WIDEST = 20  # children of a wrapper that are looked at for names


def at(*steps: str) -> Naming:
    """The name is where these steps lead: `.field`, or `a|b` for the first child of such a type."""

    def names(node: Node, rules: Rules, source: bytes) -> Iterable[Name]:
        found = _follow(node, steps)
        return ((found,),) if found else ()

    return names


def in_name(node: Node, rules: Rules, source: bytes) -> Iterable[Name]:
    """Most definitions hold their name in the field `name`."""
    found = node.child_by_field_name("name")
    return ((found,),) if found else ()


def valued(name: str, value: str, *types: str) -> Naming:
    """A variable is a symbol where its value is of one of these types, such as a function."""

    def names(node: Node, rules: Rules, source: bytes) -> Iterable[Name]:
        held, found = _follow(node, (value,)), _follow(node, (name,))
        return ((found,),) if found and held and held.type in types else ()

    return names


def leftmost(*stops: str, under: tuple[str, ...] = ()) -> Naming:
    """The name is the first of these types on the way down the first children."""

    def names(node: Node, rules: Rules, source: bytes) -> Iterable[Name]:
        found = _follow(node, under)
        while found and found.type not in stops:
            found = found.named_child(0) if found.named_child_count else None
        return ((found,),) if found else ()

    return names


def inside(node: Node, rules: Rules, source: bytes) -> Iterable[Name]:
    """A wrapper: the names are those of its children."""
    for part in node.named_children[:_WIDEST]:
        rule = rules.get(part.type)
        if rule:
            yield from rule(part, rules, source)


def declarator(node: Node, rules: Rules, source: bytes) -> Iterable[Name]:
    """C's way: the name of `int *(*name)(void)` is at the bottom of its declarators."""
    found = node.child_by_field_name("declarator")
    while found:
        deeper = found.child_by_field_name("declarator")
        if found.type in ("reference_declarator", "parenthesized_declarator"):  # without fields
            deeper = found.named_child(0)
        if deeper is None:
            return ((found,),)
        found = deeper
    return ()


def prototype(node: Node, rules: Rules, source: bytes) -> Iterable[Name]:
    """A declaration of C that declares a function."""
    found = node.child_by_field_name("declarator")
    while found and found.type == "pointer_declarator":
        found = found.child_by_field_name("declarator")
    return declarator(node, rules, source) if found and found.type == "function_declarator" else ()


def with_body(node: Node, rules: Rules, source: bytes) -> Iterable[Name]:
    """`struct thing { … }`, but not the `struct thing` that only names a type."""
    if node.child_by_field_name("body"):
        yield from in_name(node, rules, source)


def method_of_go(node: Node, rules: Rules, source: bytes) -> Iterable[Name]:
    """`func (s *Store[T]) Replace(…)` is Store.Replace."""
    name = node.child_by_field_name("name")
    kind = _follow(node, (".receiver", "parameter_declaration", ".type"))
    while kind and kind.type != "type_identifier":
        kind = kind.named_child(0) if kind.named_child_count else None
    if name:
        yield (kind, name) if kind else (name,)


def labels(node: Node, rules: Rules, source: bytes) -> Iterable[Name]:
    """`resource "aws_s3_bucket" "store" { … }` is resource.aws_s3_bucket.store."""
    parts = [part for part in node.named_children[:4] if part.type in ("identifier", "string_lit")]
    return (tuple(parts),) if parts else ()


def call_that_defines(node: Node, rules: Rules, source: bytes) -> Iterable[Name]:
    """Elixir's definitions are calls: of def, defmodule, test …"""
    target = node.child_by_field_name("target")
    word = source[target.start_byte : target.end_byte] if target else b""
    if word.startswith(b"def") or word in (b"test", b"describe"):
        stops = ("alias", "identifier", "string", "operator_identifier")
        yield from leftmost(*stops, under=("arguments",))(node, rules, source)


def list_that_defines(node: Node, rules: Rules, source: bytes) -> Iterable[Name]:
    """Lisp's definitions are lists: `(defn name …)`."""
    parts = node.named_children[:2]
    if len(parts) == 2 and parts[1].type == "sym_lit":
        word = source[parts[0].start_byte : parts[0].end_byte]
        if word.startswith(b"def") or word == b"ns":
            yield (parts[1],)


def before(node: Node, rules: Rules, source: bytes) -> Iterable[Name]:
    """A body whose signature is the node before it."""
    signature = node.prev_named_sibling
    rule = rules.get(signature.type) if signature else None
    return rule(signature, rules, source) if rule and signature else ()


def _follow(node: Node, steps: Iterable[str]) -> Node | None:
    found: Node | None = node
    for step in steps:
        if found is None:
            return None
        if step.startswith("."):
            found = found.child_by_field_name(step[1:])
        else:
            types = step.split("|")
            found = next((part for part in found.named_children if part.type in types), None)
    return found


def _named(types: str, **others: Naming) -> Rules:
    """Rules for these types, whose name is in the field `name`, and for others."""
    return dict.fromkeys(types.split(), in_name) | others


_FUNCTIONS = ("arrow_function", "function_expression", "generator_function", "class")
_JAVASCRIPT = _named(
    "class_declaration function_declaration generator_function_declaration method_definition"
    " abstract_class_declaration interface_declaration type_alias_declaration enum_declaration"
    " internal_module module function_signature abstract_method_signature",
    export_statement=inside,
    ambient_declaration=inside,
    expression_statement=inside,
    lexical_declaration=inside,
    variable_declaration=inside,
    variable_declarator=valued(".name", ".value", *_FUNCTIONS),
    assignment_expression=valued(".left", ".right", *_FUNCTIONS),
    pair=valued(".key", ".value", *_FUNCTIONS),
    public_field_definition=valued(".name", ".value", *_FUNCTIONS),
    field_definition=valued(".property", ".value", *_FUNCTIONS),
)
_C = _named(
    "preproc_def preproc_function_def namespace_definition concept_definition alias_declaration",
    function_definition=declarator,
    type_definition=declarator,
    declaration=prototype,
    field_declaration=prototype,
    struct_specifier=with_body,
    union_specifier=with_body,
    enum_specifier=with_body,
    class_specifier=with_body,
    template_declaration=inside,
    linkage_specification=inside,
    declaration_list=inside,
    preproc_if=inside,
    preproc_ifdef=inside,
    preproc_else=inside,
)
_OBJC = at("identifier")

RULES: Mapping[str, Rules] = {
    "bash": _named("function_definition"),
    "c": _C,
    "clojure": {"list_lit": list_that_defines},
    "cmake": {
        "function_def": at("function_command", "argument_list", "argument"),
        "macro_def": at("macro_command", "argument_list", "argument"),
    },
    "cpp": _C,
    "csharp": _named(
        "namespace_declaration file_scoped_namespace_declaration class_declaration"
        " struct_declaration record_declaration interface_declaration enum_declaration"
        " method_declaration constructor_declaration property_declaration delegate_declaration"
        " local_function_statement"
    ),
    "css": {
        "rule_set": at("selectors"),
        "media_statement": at("feature_query|keyword_query|binary_query"),
        "keyframes_statement": at("keyframes_name"),
    },
    "dart": _named(
        "class_definition class_declaration enum_declaration extension_declaration"
        " function_signature getter_signature setter_signature",
        mixin_declaration=at("identifier"),
        method_signature=inside,
        function_body=before,
    ),
    "dockerfile": {"from_instruction": at(".as")},
    "elixir": {"call": call_that_defines},
    "erlang": _named(
        "module_attribute record_decl", fun_decl=at(".clause", ".name"), type_alias=at(".name")
    ),
    "fortran": {
        "module": at("module_statement", "name"),
        "program": at("program_statement", "name"),
        "subroutine": at("subroutine_statement", ".name"),
        "function": at("function_statement", ".name"),
        "derived_type_definition": at("derived_type_statement", "type_name"),
    },
    "go": _named(
        "function_declaration type_spec type_alias",
        type_declaration=inside,
        method_declaration=method_of_go,
    ),
    "graphql": dict.fromkeys(
        ["document", "definition", "type_system_definition", "type_definition"], inside
    )
    | dict.fromkeys(
        [
            *("object_type_definition", "interface_type_definition", "enum_type_definition"),
            *("input_object_type_definition", "union_type_definition", "scalar_type_definition"),
            *("operation_definition", "fragment_definition"),
        ],
        at("name|fragment_name"),
    ),
    "groovy": _named("class_definition", function_definition=at(".function")),
    "haskell": _named(
        "data_type newtype type_synomym class instance function bind signature",
        declarations=inside,
    ),
    "hcl": {"block": labels, "body": inside},
    "html": {},
    "java": _named(
        "class_declaration interface_declaration enum_declaration record_declaration"
        " annotation_type_declaration method_declaration constructor_declaration"
    ),
    "javascript": _JAVASCRIPT,
    "json": {"object": inside, "pair": at(".key")},
    "julia": _named(
        "module_definition",
        function_definition=leftmost(
            "identifier", "field_expression", "operator", under=("signature",)
        ),
        macro_definition=leftmost("identifier", under=("signature",)),
        struct_definition=leftmost("identifier", under=("type_head",)),
        abstract_definition=leftmost("identifier", under=("type_head",)),
        assignment=leftmost("identifier", "field_expression", under=("call_expression",)),
    ),
    "kotlin": _named("class_declaration object_declaration function_declaration companion_object"),
    "lua": _named(
        "function_declaration",
    ),
    "make": {"rule": at("targets")},
    "nix": {
        **dict.fromkeys(["function_expression", "let_expression", "binding_set"], inside),
        "binding": at(".attrpath"),
    },
    "objc": {
        **_C,
        **dict.fromkeys(
            [
                *("class_interface", "class_implementation", "protocol_declaration"),
                *("method_definition", "method_declaration"),
            ],
            _OBJC,
        ),
        "implementation_definition": inside,
    },
    "ocaml": {
        **dict.fromkeys(
            ["value_definition", "type_definition", "module_definition", "class_definition"], inside
        ),
        "let_binding": at(".pattern"),
        "type_binding": in_name,
        "module_binding": at("module_name"),
        "class_binding": in_name,
        "module_type_definition": at("module_type_name"),
        "exception_definition": leftmost("constructor_name"),
        "external": at("value_name"),
        "value_specification": at("value_name"),
    },
    "perl": _named("function_definition", package_statement=at("package_name")),
    "php": _named(
        "namespace_definition class_declaration interface_declaration trait_declaration"
        " enum_declaration function_definition method_declaration"
    ),
    "powershell": {
        "statement_list": inside,
        "class_statement": at("simple_name"),
        "class_method_definition": at("simple_name"),
        "function_statement": at("function_name"),
    },
    "proto": {
        "message": at("message_name"),
        "service": at("service_name"),
        "enum": at("enum_name"),
        "rpc": at("rpc_name"),
    },
    "python": _named("function_definition class_definition", decorated_definition=inside),
    "r": {"binary_operator": valued(".lhs", ".rhs", "function_definition")},
    "ruby": _named(
        "module class method singleton_method", assignment=valued(".left", ".left", "constant")
    ),
    "rust": _named(
        "function_item function_signature_item struct_item enum_item union_item trait_item"
        " mod_item macro_definition type_item",
        impl_item=at(".type"),
    ),
    "scala": _named(
        "class_definition object_definition trait_definition enum_definition function_definition"
        " function_declaration type_definition given_definition"
    ),
    "scss": {
        "rule_set": at("selectors"),
        "mixin_statement": at("name"),
        "function_statement": at("name"),
        "keyframes_statement": at("keyframes_name"),
    },
    "solidity": _named(
        "contract_declaration interface_declaration library_declaration struct_declaration"
        " enum_declaration event_definition modifier_definition function_definition"
        " error_declaration"
    ),
    "sql": {
        "statement": inside,
        **dict.fromkeys(
            [
                *("create_table", "create_view", "create_materialized_view", "create_function"),
                *("create_type", "create_trigger", "create_schema", "alter_table"),
            ],
            at("object_reference"),
        ),
        "create_index": at(".column"),
    },
    "svelte": {},
    "swift": _named(
        "class_declaration protocol_declaration function_declaration typealias_declaration"
        " protocol_function_declaration"
    ),
    "toml": {
        **dict.fromkeys(
            ["table", "table_array_element", "pair"], at("bare_key|dotted_key|quoted_key")
        )
    },
    "tsx": _JAVASCRIPT,
    "typescript": _JAVASCRIPT,
    "vue": {},
    "xml": {"element": at("STag|EmptyElemTag", "Name")},
    "zig": _named(
        "function_declaration",
        variable_declaration=lambda node, rules, source: (
            at("identifier")(node, rules, source)
            if _follow(node, ("struct_declaration|enum_declaration|union_declaration",))
            else ()
        ),
        test_declaration=at("string|identifier"),
    ),
}
"""Language → node type → rule; the languages whose code is cut by its syntax."""

_DECORATIONS = frozenset({"decorator", "attribute_item", "attribute_list", "annotation"})

PREFIXES: Mapping[str, frozenset[str]] = {language: _DECORATIONS for language in RULES} | {
    "elixir": _DECORATIONS | {"unary_operator"},  # @doc
    "erlang": _DECORATIONS | {"spec"},
    "haskell": _DECORATIONS | {"haddock", "signature"},
    "julia": _DECORATIONS | {"string_literal"},  # documentation
}
"""Language → node types that belong with the node after them, as comments always do."""
