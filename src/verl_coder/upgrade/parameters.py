"""Parameters of a function as a list of words, and whether a call fits them."""

import ast
from collections.abc import Sequence


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef, *, in_class: bool) -> list[str]:
    """`["self", "a", "b=1", "*", "c"]`; the class of a class method is left out, as a caller does not give it."""
    args = node.args
    plain = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(plain) - len(args.defaults)) + list(args.defaults)
    words = [_word(arg.arg, default) for arg, default in zip(plain, defaults, strict=True)]
    if args.vararg:
        words.append(f"*{args.vararg.arg}")
    elif args.kwonlyargs:
        words.append("*")
    words += [_word(arg.arg, value) for arg, value in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    if args.kwarg:
        words.append(f"**{args.kwarg.arg}")
    is_class_method = any(ast.unparse(one) == "classmethod" for one in node.decorator_list)
    return words[1:] if in_class and is_class_method else words


def _word(name: str, default: ast.AST | None) -> str:
    return name if default is None else f"{name}={ast.unparse(default)}"


def fields_as_parameters(classes: Sequence[ast.ClassDef]) -> list[str] | None:
    """Parameters that a data class makes of its fields, base classes first; None where it is no data class."""
    is_data = any("dataclass" in ast.unparse(one) for cls in classes for one in cls.decorator_list)
    if not is_data and not any("BaseModel" in ast.unparse(base) for cls in classes for base in cls.bases):
        return None
    fields: dict[str, str] = {}
    for cls in classes:
        for node in cls.body:
            if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
                continue
            if "ClassVar" not in ast.unparse(node.annotation):
                fields[node.target.id] = _word(node.target.id, node.value)
    return list(fields.values())


def call_problems(
    takes: Sequence[str], positional: int, keywords: Sequence[str], *, open_ended: bool
) -> list[str]:
    """What is wrong with a call of a function with these parameters; `open_ended`: it gives *args or **kwargs too."""
    names = [word.partition("=")[0] for word in takes]
    any_keyword = any(name.startswith("**") for name in names)
    star = next(
        (at for at, name in enumerate(names) if name.startswith("*") and not name.startswith("**")), None
    )
    plain = [name for name in (names if star is None else names[:star]) if not name.startswith("*")]
    problems = []
    if positional > len(plain) and (star is None or names[star] == "*"):
        problems.append(f"takes {len(plain)} values by position, we give {positional}")
    known = [name for name in names if not name.startswith("*")]
    problems += [f"takes no {word}=" for word in keywords if word not in known and not any_keyword]
    given = set(plain[:positional]) | set(keywords)
    if not open_ended:
        needed = [word for word in takes if "=" not in word and not word.startswith("*")]
        problems += [f"needs {word}" for word in needed if word not in given]
    return problems
