"""Everything public says what it is: docstrings, arguments, errors, shapes; read from the sources, nothing is imported.

An argument is described in the function's own `Args`, or where a reader is sent: in what the docstring says to `see`,
in the `Notation` of its class, or in the protocol whose method it is. Shapes stand in annotation or docstring.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
KERNELS = ROOT / "geomflow" / "ops" / "kernels"  # Warp's functions, known to their callers alone
UNFINISHED = {"NotImplementedError"}  # what abstract methods raise
SHAPELESS = re.compile(r"(?<![\w.\[])(Tensor|np\.ndarray|torch\.Tensor)(?![\w\[.])")
SHAPE = re.compile(
    r"\([\w*., /+-]*,[\w*., /+-]*\)|\bscalar\b|\bany shape\b|\bshape of\b|\bshaped\b|\*\w+", re.IGNORECASE
)


@dataclass(frozen=True)
class Definition:
    """A public function, or a method with its class."""

    file: Path
    node: ast.FunctionDef
    owner: ast.ClassDef | None = None

    def __str__(self) -> str:
        owner = f"{self.owner.name}." if self.owner else ""
        return f"{self.file.relative_to(ROOT)}:{self.node.lineno} {owner}{self.node.name}"

    @property
    def doc(self) -> str:
        return ast.get_docstring(self.node) or ""

    @property
    def arguments(self) -> list[ast.arg]:
        found = self.node.args
        named = [*found.posonlyargs, *found.args, *found.kwonlyargs]
        decorators = {ast.unparse(decorator) for decorator in self.node.decorator_list}
        return named[1:] if self.owner and "staticmethod" not in decorators else named


def section(doc: str, *titles: str) -> str:
    """The indented text under these headings of a docstring."""
    found = re.findall(rf"^(?:{'|'.join(titles)}):\n((?:[ ]+.*\n|\n)*)", doc + "\n", flags=re.MULTILINE)
    return "\n".join(found)


def names_in(text: str) -> set[str]:
    """What a section describes: `name:`, `name, other:`, `name (type):`."""
    lines = re.findall(r"^ +(?:- )?(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \(.*?\))?: \S", text, flags=re.MULTILINE)
    return {name.lstrip("*") for line in lines for name in line.split(", ")}


def is_public(name: str) -> bool:
    return not name.startswith("_")


@cache
def modules() -> dict[Path, ast.Module]:
    files = sorted([*(ROOT / "geomflow").rglob("*.py"), *(ROOT / "data_prep").rglob("*.py")])
    public = [f for f in files if all(is_public(part) or part == "__init__" for part in f.with_suffix("").parts)]
    return {file: ast.parse(file.read_text()) for file in public if KERNELS not in file.parents}


def classes() -> Iterator[tuple[Path, ast.ClassDef]]:
    for file, tree in modules().items():
        yield from ((file, node) for node in tree.body if isinstance(node, ast.ClassDef) and is_public(node.name))


@cache
def definitions() -> list[Definition]:
    functions = [Definition(file, node) for file, tree in modules().items() for node in tree.body if _defines(node)]
    methods = [Definition(file, node, owner) for file, owner in classes() for node in owner.body if _defines(node)]
    return [*functions, *methods]


def _defines(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and (is_public(node.name) or node.name == "__call__")


@cache
def described_at(name: str) -> set[str]:
    """What the docstring of a class or function of this name describes, wherever it is."""
    found = [d.doc for d in definitions() if d.node.name == name.split(".")[-1]]
    found += [ast.get_docstring(node) or "" for _, node in classes() if node.name == name.split(".")[-1]]
    return set().union(*(names_in(section(doc, "Args", "Attributes")) for doc in found))


@cache
def promised(method: str) -> set[str]:
    """What protocols say of the arguments of a method of this name; `forward` is what makes a module callable."""
    protocols = [node for _, node in classes() if any(ast.unparse(base) == "Protocol" for base in node.bases)]
    same = {method, "__call__"} if method == "forward" else {method}
    methods = [n for node in protocols for n in node.body if isinstance(n, ast.FunctionDef) and n.name in same]
    docs = [ast.get_docstring(node) or "" for node in [*methods, *(p for p in protocols if _has(p, same))]]
    return set().union(*(names_in(section(doc, "Args", "Notation")) for doc in docs))


def _has(node: ast.ClassDef, names: set[str]) -> bool:
    return any(isinstance(method, ast.FunctionDef) and method.name in names for method in node.body)


def described(definition: Definition) -> set[str]:
    found = names_in(section(definition.doc, "Args"))
    for name in re.findall(r"\bsee `{1,2}([\w.]+)`{1,2}", definition.doc, flags=re.IGNORECASE):
        found |= described_at(name)
    if definition.owner:
        found |= names_in(section(ast.get_docstring(definition.owner) or "", "Notation"))
        found |= promised(definition.node.name)
    return found


def own_raises(function: ast.FunctionDef) -> set[str]:
    """Classes of errors raised in a function's body, not in functions that it defines."""
    todo, found = list(function.body), set()
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found.add(ast.unparse(node.exc.func).split(".")[-1])
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return {name for name in found if name[:1].isupper()} - UNFINISHED


def missing_docstrings() -> list[str]:
    gone = [str(file.relative_to(ROOT)) for file, tree in modules().items() if not ast.get_docstring(tree)]
    gone += [f"{file.relative_to(ROOT)} {node.name}" for file, node in classes() if not ast.get_docstring(node)]
    return gone + [str(definition) for definition in definitions() if not definition.doc]


def missing_arguments() -> list[tuple[Definition, str]]:
    return [(d, a.arg) for d in definitions() for a in d.arguments if a.arg not in described(d)]


def missing_errors() -> list[str]:
    return [
        f"{d}: {error}"
        for d in definitions()
        for error in sorted(own_raises(d.node))
        if not re.search(rf"^ +(?:\w+, )*{error}\b.*:", section(d.doc, "Raises"), flags=re.MULTILINE)
    ]


def missing_options() -> list[str]:
    """Arguments of constructors and fields of dataclasses that the class does not describe."""
    gone = []
    for file, node in classes():
        told = names_in(section(ast.get_docstring(node) or "", "Args", "Attributes"))
        init = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        asked = [a.arg for n in init for a in [*n.args.args[1:], *n.args.kwonlyargs]]
        if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
            asked += [n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        gone += [
            f"{file.relative_to(ROOT)} {node.name}: {name}" for name in asked if is_public(name) and name not in told
        ]
    return gone


def missing_shapes() -> list[str]:
    gone = []
    for d in definitions():
        for argument in d.arguments:
            if argument.annotation and SHAPELESS.search(ast.unparse(argument.annotation)):
                line = re.search(
                    rf"^ +.*\b{argument.arg}\b.*:(.*(?:\n {{8,}}.*)*)", section(d.doc, "Args"), re.MULTILINE
                )
                if not SHAPE.search(line.group(1) if line else "") and not SHAPE.search(d.doc):
                    gone.append(f"{d}: {argument.arg}")
    return gone


def test_there_is_much_to_document():
    assert len(definitions()) > 600
    assert sum(len(d.arguments) for d in definitions()) > 1500


def test_everything_public_has_a_docstring():
    assert not missing_docstrings()


def test_every_argument_is_described():
    assert not [f"{definition}: {name}" for definition, name in missing_arguments()]


def test_every_error_raised_is_listed():
    assert not missing_errors()


def test_every_option_of_a_class_is_described():
    assert not missing_options()


def test_every_array_has_a_shape():
    assert not missing_shapes()


PROBE = '''
def probe(points, count):
    """Return nothing.

    Args:
        points: Somewhere.

    Raises:
        TypeError: Never.
    """
    raise ValueError("no")
'''


def test_the_rules_can_fail():
    node = ast.parse(PROBE).body[0]
    assert isinstance(node, ast.FunctionDef)
    probe = Definition(ROOT / "probe.py", node)
    assert {argument.arg for argument in probe.arguments} - described(probe) == {"count"}
    assert own_raises(node) == {"ValueError"}
    assert names_in(section(probe.doc, "Raises")) == {"TypeError"}


@pytest.mark.parametrize(
    ("text", "names"), [("    a, b: Both.\n", {"a", "b"}), ("    **c (int): x\n", {"c"}), ("a", set())]
)
def test_names_are_read_as_they_are_written(text, names):
    assert names_in(text) == names
