"""The mutants of a module's functions: each one small wrong change, as a function that can stand in for the right one.

Belongs here: which changes, their names, their code. Not here: running tests on them (running.py), which modules (targets.py).

The operators are mutmut's. Left out is what tests should not hold fast or cannot see: the wording of what is raised, `assert` and `strict=True` (they tell a
reader or mypy something), annotations, the case of letters, and `dtype=` (arrays have the kind of their numbers without it, but for those that are empty and
for how much memory they take). Methods, properties and cached functions are mutated as all others.
"""

from __future__ import annotations
import __future__

import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import libcst as cst
from libcst.matchers import Arg, Name, matches
from mutmut.mutation.mutators import mutation_operators, operator_string

_CONTEXT = 24
"""Characters around a change in its name."""
_BETWEEN = " ,:()[]{}"
_KEPT = Arg(keyword=Name("strict"), value=Name("True")) | Arg(keyword=Name("dtype"))
"""Arguments that stay as they are."""
_LEFT_OUT = (cst.Annotation, cst.Decorator, cst.Raise, cst.Assert, cst.Import, cst.ImportFrom)
Defaults = tuple[tuple[Any, ...] | None, dict[str, Any] | None]


@dataclass(frozen=True)
class Mutant:
    """`name`: function, and the change within its context; the same as long as the function is. `function`: the right one, whose code is exchanged."""

    name: str
    function: FunctionType
    code: CodeType
    defaults: Defaults

    @contextmanager
    def put_in(self) -> Iterator[None]:
        """Makes the function wrong, for whoever holds it under whatever name."""
        right = self.function.__code__, (self.function.__defaults__, self.function.__kwdefaults__)
        self._make(self.code, self.defaults)
        try:
            yield
        finally:
            self._make(*right)

    def _make(self, code: CodeType, defaults: Defaults) -> None:
        self.function.__code__ = code
        self.function.__defaults__, self.function.__kwdefaults__ = defaults


def mutants(module: ModuleType) -> Iterator[Mutant]:
    """All mutants of a module's functions and methods in the order of its lines."""
    assert module.__file__ is not None
    tree = cst.parse_module(Path(module.__file__).read_text())
    for within, node in _functions(tree):
        function = _function(module, within, node.name.value)
        if function is None:
            continue
        bare = node.with_changes(decorators=(), leading_lines=())
        before, names = _flat(bare), Counter[str]()
        seen = {before}
        for changed in _changed(bare):
            after = _flat(changed)
            made = None if after in seen else _compiled(changed, module, node.name.value)
            seen.add(after)
            if made is None or _same(made, function):
                continue
            name = f"{within}{node.name.value}: {_difference(before, after)}"
            names[name] += 1
            number = f" ({names[name]})" if names[name] > 1 else ""
            yield Mutant(name + number, function, made.__code__, (made.__defaults__, made.__kwdefaults__))


def _functions(tree: cst.Module) -> Iterator[tuple[str, cst.FunctionDef]]:
    for one in tree.body:
        if isinstance(one, cst.FunctionDef):
            yield "", one
        elif isinstance(one, cst.ClassDef):
            yield from ((f"{one.name.value}.", method) for method in one.body.body if isinstance(method, cst.FunctionDef))


def _function(module: ModuleType, within: str, name: str) -> FunctionType | None:
    """The function beneath what decorators made of it; None where it needs a class around it (super) or is none any more."""
    found: Any = vars(getattr(module, within[:-1]))[name] if within else getattr(module, name)
    while not isinstance(found, FunctionType):
        further = next((getattr(found, part) for part in ("__func__", "fget", "__wrapped__", "func") if getattr(found, part, None) is not None), None)
        if further is None:
            return None
        found = further
    return None if found.__code__.co_freevars else found


def _changed(function: cst.FunctionDef) -> Iterator[cst.FunctionDef]:
    for node in _nodes(function):
        for kind, operator in mutation_operators:
            if not isinstance(node, kind):
                continue
            for number, new in enumerate(operator(node)):
                if operator is operator_string and number:
                    break
                if _kept(new) != _kept(node):
                    continue
                yield function.deep_replace(node, new)  # type: ignore[misc]


def _nodes(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """The node and all below it that are to be changed."""
    if isinstance(node, _LEFT_OUT) or (isinstance(node, cst.Arg) and matches(node, _KEPT)):
        return
    yield node
    for child in node.children:
        yield from _nodes(child)


def _kept(node: cst.CSTNode) -> list[cst.Arg]:
    return [one for one in node.args if matches(one, _KEPT)] if isinstance(node, cst.Call) else []


def _compiled(function: cst.FunctionDef, module: ModuleType, name: str) -> FunctionType | None:
    """None for a change after which there is no function."""
    text = textwrap.dedent(cst.Module([function]).code)
    space = dict(vars(module))
    try:
        exec(compile(text, str(module.__file__), "exec", __future__.annotations.compiler_flag, dont_inherit=True), space)
    except (SyntaxError, TypeError, ValueError, ArithmeticError, AttributeError):
        return None
    made = space[name]
    return made if isinstance(made, FunctionType) else None


def _same(made: FunctionType, function: FunctionType) -> bool:
    """Whether nothing but the places of lines tells them apart."""
    return _parts(made.__code__) == _parts(function.__code__) and (made.__defaults__, made.__kwdefaults__) == (function.__defaults__, function.__kwdefaults__)


def _parts(code: CodeType) -> tuple[Any, ...]:
    consts = tuple(_parts(one) if isinstance(one, CodeType) else (type(one), one) for one in code.co_consts)
    return code.co_code, consts, code.co_names, code.co_varnames


def _flat(function: cst.FunctionDef) -> str:
    return " ".join(cst.Module([function]).code.split())


def _difference(before: str, after: str) -> str:
    """What differs, between what stands around it: `… if p [<= → <] level: …`."""
    start = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), min(len(before), len(after)))
    most = min(len(before), len(after)) - start
    end = next((back for back in range(most) if before[-1 - back] != after[-1 - back]), most)
    while start and before[start - 1] not in _BETWEEN:
        start -= 1
    while end and before[-end] not in _BETWEEN:
        end -= 1
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    ahead, behind = before[max(0, start - _CONTEXT) : start], before[len(before) - end :][:_CONTEXT]
    return f"{ahead}[{old} → {new}]{behind}"
