"""Formulas of the methods as plain text: a tooltip shows no LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator

TOKEN = re.compile(r"\\[a-zA-Z]+\*?|\\.|\s+|.")

# fmt: off
SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "epsilon": "ε", "varepsilon": "ε", "lambda": "λ", "pi": "π", "rho": "ρ",
    "sigma": "σ", "varphi": "φ", "Sigma": "Σ", "partial": "∂", "nabla": "∇", "infty": "∞", "varnothing": "∅",
    "sum": "∑", "prod": "∏", "int": "∫", "odot": "⊙", "sim": "~", "leftarrow": "←", "mapsto": "↦", "cup": "∪",
    "setminus": "∖", "in": "∈", "ni": "∋", "le": "≤", "mid": "|", "top": "T", "lVert": "‖", "rVert": "‖",
    "|": "‖", "!": "",
}
# fmt: on
"""Commands that are one character, or none."""

SPACES = (",", ";", " ", "quad")
"""Commands that are a space."""

DROPPED = re.compile(r"(bigl?|Bigl?|bigr|Bigr|left|right|mathrm|text|operatorname)\*?$")
"""Commands that change only the look of what follows."""

NAMES = ("max", "min", "arg")
"""Operators that are written as words."""

ACCENTS = {"bar": "\u0304", "overline": "\u0304"}
"""Combining characters of the accents."""

PREFIX = ("∂", "∇")
"""Operators that stand directly before what they act on."""

SUPERSCRIPTS = dict(zip("0123456789+-=()dhijkmnpxT", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵈʰⁱʲᵏᵐⁿᵖˣᵀ", strict=True))
SUBSCRIPTS = dict(zip("0123456789+-=()ehijklmnpstx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₑₕᵢⱼₖₗₘₙₚₛₜₓ", strict=True))


def plain(latex: str) -> str:
    r"""Return a LaTeX formula as one line of Unicode text, such as "M = ∂f / ∂x" for ``M = \partial f / \partial x``.

    Commands that are unknown keep their names; nothing fails.
    """
    tokens = iter(TOKEN.findall(latex.replace(r"\not\ni", "∌")))
    return re.sub(r"\s+", " ", _text(tokens)).strip().replace("-", "−")


def _text(tokens: Iterator[str]) -> str:
    """Return the text up to the brace that closes the group, or to the end."""
    text = ""
    for token in tokens:
        if token == "}":
            break
        if token.isspace():
            text += "" if text.endswith(PREFIX) else " "
            continue
        piece = _piece(token, tokens)
        # words and symbols do not run into each other
        text += f" {piece}" if token[1:] in NAMES and text[-1:].isalnum() else piece
    return text


def _piece(token: str, tokens: Iterator[str]) -> str:
    """Return the text of one token, with the arguments that it takes."""
    name = token[1:]
    if token in ("^", "_"):
        return _script(token, _argument(tokens).strip())
    if token == "{":
        return _text(tokens)
    if not name:
        return token
    if name in ("frac", "tfrac"):
        return f"{_bracketed(_argument(tokens))}/{_bracketed(_argument(tokens))}"
    if name == "binom":
        return f"C({_argument(tokens)}, {_argument(tokens)})"
    if name == "mathbb":
        return _argument(tokens)
    if name in ACCENTS:
        return _argument(tokens) + ACCENTS[name]
    if name in SPACES:
        return " "
    return "" if DROPPED.match(name) else SYMBOLS.get(name, name)


def _argument(tokens: Iterator[str]) -> str:
    """Return the text of the next argument: a group, a command, or one character."""
    for token in tokens:
        if not token.isspace():
            return _piece(token, tokens)
    return ""


def _script(sign: str, text: str) -> str:
    """Return an index or an exponent, in small characters where Unicode has them all."""
    small = SUPERSCRIPTS if sign == "^" else SUBSCRIPTS
    if text == "'":
        return text
    if all(each in small for each in text):
        return "".join(small[each] for each in text)
    return f"{sign}{text}" if len(text) == 1 else f"{sign}({text})"


def _bracketed(text: str) -> str:
    """Return one side of a fraction, in brackets if it is more than one factor."""
    text = text.strip()
    single = re.fullmatch(r"[^\s+\-/*⊙()]+", text) and not re.fullmatch(r"[a-z]{2,}", text)
    return text if single else f"({text})"
