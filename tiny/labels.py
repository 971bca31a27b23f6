"""Label the programming concepts in a function's syntax tree, with the line where each first appears.

The corpus teaches these labels for snippet → concepts, and a model's concepts are checked against them. Only visible
constructs are labelled ("list comprehension", "exception handling"); no label guesses a function's purpose.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

METHODS = {
    "split": "string splitting",
    "rsplit": "string splitting",
    "splitlines": "string splitting",
    "partition": "string partitioning",
    "rpartition": "string partitioning",
    "join": "string joining",
    "strip": "string stripping",
    "lstrip": "string stripping",
    "rstrip": "string stripping",
    "replace": "string replacement",
    "startswith": "prefix testing",
    "endswith": "suffix testing",
    "upper": "case conversion",
    "lower": "case conversion",
    "title": "case conversion",
    "encode": "text encoding",
    "decode": "text decoding",
    "format": "string formatting",
    "find": "substring search",
    "rfind": "substring search",
    "count": "counting",
    "append": "list appending",
    "extend": "list extension",
    "insert": "list insertion",
    "pop": "popping elements",
    "get": "dictionary lookup",
    "setdefault": "dictionary defaults",
    "items": "dictionary iteration",
    "keys": "dictionary keys",
    "values": "dictionary values",
    "update": "dictionary update",
    "add": "set insertion",
    "union": "set operations",
    "sort": "sorting",
    "copy": "copying",
    "read": "reading",
    "readline": "reading",
    "write": "writing",
    "close": "closing resources",
    "search": "pattern search",
    "match": "pattern matching",
    "findall": "pattern search",
    "sub": "pattern substitution",
    "compile": "compilation",
    "send": "sending",
    "call": "delegation",
}
BUILTINS = {
    "len": "length",
    "sum": "summation",
    "max": "maximum",
    "min": "minimum",
    "abs": "absolute value",
    "range": "range iteration",
    "enumerate": "enumeration",
    "zip": "parallel iteration",
    "reversed": "reversal",
    "sorted": "sorting",
    "isinstance": "type checking",
    "issubclass": "subclass checking",
    "callable": "callable checking",
    "hasattr": "attribute testing",
    "getattr": "dynamic attributes",
    "setattr": "dynamic attributes",
    "int": "integer conversion",
    "float": "float conversion",
    "str": "text conversion",
    "repr": "representation",
    "list": "list conversion",
    "tuple": "tuple conversion",
    "set": "set construction",
    "dict": "dictionary construction",
    "bytes": "byte strings",
    "open": "file opening",
    "print": "printing",
    "map": "mapping",
    "filter": "filtering",
    "any": "any test",
    "all": "all test",
    "iter": "iterators",
    "next": "iterators",
    "type": "type lookup",
    "super": "inheritance",
    "ord": "character codes",
    "chr": "character codes",
    "hash": "hashing",
    "divmod": "integer division",
    "round": "rounding",
}
NODES: dict[type[ast.AST], str] = {
    ast.For: "for loop",
    ast.While: "while loop",
    ast.If: "conditional branching",
    ast.IfExp: "conditional expression",
    ast.ListComp: "list comprehension",
    ast.DictComp: "dictionary comprehension",
    ast.SetComp: "set comprehension",
    ast.GeneratorExp: "generator expression",
    ast.Lambda: "lambda function",
    ast.Raise: "raising exceptions",
    ast.With: "context manager",
    ast.Yield: "generator function",
    ast.YieldFrom: "generator delegation",
    ast.Await: "asynchronous code",
    ast.Assert: "assertion",
    ast.Global: "global state",
    ast.Nonlocal: "closure",
    ast.Delete: "deletion",
    ast.Break: "loop exit",
    ast.Continue: "loop control",
    ast.AugAssign: "augmented assignment",
    ast.JoinedStr: "string formatting",
    ast.Slice: "slicing",
    ast.Starred: "argument unpacking",
    ast.ClassDef: "class definition",
    ast.And: "boolean logic",
    ast.Or: "boolean logic",
    ast.Not: "negation",
    ast.In: "membership test",
    ast.NotIn: "membership test",
    ast.FloorDiv: "integer division",
    ast.Pow: "exponentiation",
    ast.Mult: "multiplication",
    ast.Div: "division",
    ast.Sub: "subtraction",
    ast.BitAnd: "bitwise operations",
    ast.BitOr: "bitwise operations",
    ast.BitXor: "bitwise operations",
    ast.LShift: "bit shifting",
    ast.RShift: "bit shifting",
    ast.USub: "negative numbers",
}
MODULES = {"re": "regular expressions", "os": "operating system", "sys": "system module", "itertools": "iterators"}
ALL_LABELS = sorted(
    {*METHODS.values(), *BUILTINS.values(), *NODES.values(), *MODULES.values()}
    | {"none check", "tuple unpacking", "recursion", "indexing", "default arguments", "variable arguments"}
    | {"keyword-only arguments", "modulo", "type hints", "nested function", "decorators", "equality test", "comparison"}
    | {"dictionary literal", "list literal", "exception handling", "cleanup", "tuples"}
    | {"object method", "class method"}
)


def label_code(code: str) -> dict[str, int]:
    """Map each concept to the line (from 1) where it first appears. Raises `SyntaxError` for invalid code."""
    tree = ast.parse(code)
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    first: dict[str, int] = {}

    def see(node: ast.AST, line: int, depth: int) -> None:
        line = getattr(node, "lineno", line)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            line, depth = _header_line(node), depth + 1
        for label in _labels_of(node, functions, depth):
            first[label] = min(line, first.get(label, line))
        for child in ast.iter_child_nodes(node):
            see(child, line, depth)

    see(tree, 1, 0)
    return dict(sorted(first.items(), key=lambda item: (item[1], item[0])))


def _header_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the line of the `def`, not of a decorator."""
    return node.lineno


def _labels_of(node: ast.AST, functions: set[str], depth: int) -> Iterator[str]:
    if type(node) in NODES:
        yield NODES[type(node)]
    match node:
        case ast.Call(func=ast.Attribute(value=value, attr=name)):
            if isinstance(value, ast.Name) and value.id in MODULES:
                yield MODULES[value.id]
            if name in METHODS:
                yield METHODS[name]
        case ast.Call(func=ast.Name(id=name)):
            if name in BUILTINS:
                yield BUILTINS[name]
            elif name in functions and depth > 0:
                yield "recursion"
        case ast.Try(handlers=handlers, finalbody=final):
            if handlers:
                yield "exception handling"
            if final:
                yield "cleanup"
        case ast.Compare(ops=ops, comparators=values):
            none = any(isinstance(value, ast.Constant) and value.value is None for value in values)
            if none and any(isinstance(op, ast.Is | ast.IsNot) for op in ops):
                yield "none check"
            elif any(isinstance(op, ast.Eq | ast.NotEq) for op in ops):
                yield "equality test"
            elif any(isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in ops):
                yield "comparison"
        case ast.Assign(targets=[ast.Tuple()]) | ast.For(target=ast.Tuple()):
            yield "tuple unpacking"
        case ast.Subscript(slice=index) if not isinstance(index, ast.Slice):
            yield "indexing"
        case ast.Dict():
            yield "dictionary literal"
        case ast.List(ctx=ast.Load()):
            yield "list literal"
        case ast.Return(value=ast.Tuple()):
            yield "tuples"
        case ast.BinOp(left=ast.Constant(value=str()), op=ast.Mod()):
            yield "string formatting"
        case ast.BinOp(op=ast.Mod()):
            yield "modulo"
        case ast.Import() | ast.ImportFrom():
            yield from _imports(node)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from _header_labels(node, depth)


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    yield from (MODULES[name] for name in names if name in MODULES)


def _header_labels(node: ast.FunctionDef | ast.AsyncFunctionDef, depth: int) -> Iterator[str]:
    arguments = node.args
    if arguments.defaults:
        yield "default arguments"
    if arguments.vararg or arguments.kwarg:
        yield "variable arguments"
    if arguments.kwonlyargs:
        yield "keyword-only arguments"
    if node.returns or any(argument.annotation for argument in arguments.args):
        yield "type hints"
    if depth > 1:
        yield "nested function"
    if node.decorator_list:
        yield "decorators"
    if arguments.args and arguments.args[0].arg == "self":
        yield "object method"
    if arguments.args and arguments.args[0].arg == "cls":
        yield "class method"
