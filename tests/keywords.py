"""Find test files in which ``pytest -k`` cannot match, so that they need not be imported.

Names of tests and literal ids of parameters are in the source; computed ids (from the list of methods, from a file)
may match anything. An expression with ``not`` may match anywhere.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CONTAINERS = {"dict", "list", "tuple", "set", "sorted", "range", "zip", "product", "param", "partial"}
"""Functions whose result has the same ids as their arguments."""


def can_match(path: Path, name: str, expression: str) -> bool:
    """Return whether a test of a file may match an expression of ``-k``; True if uncertain.

    Args:
        path: the file.
        name: its path within the repository, which is matched too.
        expression: words with ``and``, ``or``, ``not`` and brackets.
    """
    words = set(re.findall(r"[^\s()]+", expression.lower())) - {"and", "or"}
    if not words or "not" in words:
        return True
    source = path.read_text(encoding="utf-8")
    text = f"{name}\n{source}".lower()
    # "image0-True" is made of two ids, one of them an argument's name with a number
    parts = ([part.rstrip("0123456789") for part in re.split(r"[-\[\]:]", word)] for word in words)
    return any(all(part in text for part in word) for word in parts) or has_computed_ids(source)


def has_computed_ids(source: str) -> bool:
    """Return whether some ids of a module's parametrized tests are not literals in its source."""
    tree = ast.parse(source)
    assigned: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            assigned |= {target.id: node.value for target in targets if isinstance(target, ast.Name)}
    return any(
        not _is_written_out(values, assigned) or (ids is not None and _are_made(ids, values, assigned))
        for values, ids in _parameters(tree)
    )


def _parameters(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """Yield the values and the `ids` of each ``parametrize`` and each fixture with parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            options = {keyword.arg: keyword.value for keyword in node.keywords}
            if node.func.attr == "parametrize":
                yield node.args[1], options.get("ids")
            elif node.func.attr == "fixture" and "params" in options:
                yield options["params"], options.get("ids")


def _are_made(ids: ast.expr, values: ast.expr, assigned: dict[str, ast.expr]) -> bool:
    """Return whether a function computes the ids: of objects the text is unknown, of constants it is known."""
    if isinstance(ids, ast.Name) and ids.id in ("str", "repr"):
        return any(isinstance(each, ast.Call | ast.Name | ast.Attribute) for each in ast.walk(values))
    return isinstance(ids, ast.Lambda | ast.Name) or not _is_written_out(ids, assigned)


def _is_written_out(value: ast.expr, assigned: dict[str, ast.expr]) -> bool:
    """Return whether the ids of an expression consist of its own literals and names."""
    match value:
        case ast.Constant() | ast.Lambda() | ast.Compare():
            return True
        case ast.Name(name) | ast.Attribute(attr=name):
            if isinstance(value, ast.Name) and name in assigned:
                return _is_written_out(assigned[name], {key: each for key, each in assigned.items() if key != name})
            return not name.isupper()  # a constant of another module; a class or function has its own name for an id
        case ast.Tuple(parts) | ast.List(parts) | ast.Set(parts):
            return all(_is_written_out(part, assigned) for part in parts)
        case ast.Dict(keys, values):
            return all(_is_written_out(part, assigned) for part in (*keys, *values) if part is not None)
        case ast.Starred(inner) | ast.UnaryOp(operand=inner) | ast.Subscript(inner):
            return _is_written_out(inner, assigned)
        case ast.BinOp(left=left, right=right):
            return _is_written_out(left, assigned) and _is_written_out(right, assigned)
        case ast.Call(function, arguments, options):
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            parts = [*arguments, *(option.value for option in options)]
            is_class = name[:1].isupper()
            return is_class or (name in CONTAINERS and all(_is_written_out(part, assigned) for part in parts))
    return False
