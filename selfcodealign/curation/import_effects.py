"""What a statement visibly does to the world outside of its module when it is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from selfcodealign.curation.python_names import dotted_name

# The last part of what is called, whatever it was imported from: a wrong guess costs a seed.
_EFFECTS = frozenset(
    {
        "open",
        "fdopen",
        "CDLL",
        "PyDLL",
        "WinDLL",
        "OleDLL",
        "LoadLibrary",
        "dlopen",
        "Popen",
        "check_output",
        "check_call",
        "system",
        "popen",
        "urlopen",
        "urlretrieve",
        "socket",
        "create_connection",
        "connect",
        "Thread",
        "Process",
        "ProcessPoolExecutor",
        "ThreadPoolExecutor",
        "start",
        "print",
        "input",
        "exit",
        "_exit",
        "exec",
        "eval",
        "read_text",
        "read_bytes",
        "write_text",
        "write_bytes",
        "write",
        "readlines",
        "unlink",
        "mkdir",
        "makedirs",
        "rmdir",
        "rmtree",
        "rename",
        "chdir",
        "import_module",
        "__import__",
        "basicConfig",
        "setlocale",
        "globals",
        "locals",
        "vars",
        "mkstemp",
        "mkdtemp",
        "NamedTemporaryFile",
        "TemporaryDirectory",
        "sleep",
        "setrecursionlimit",
        "simplefilter",
        "filterwarnings",
    }
)
_EFFECTS_OF_MODULES = frozenset(
    {"atexit.register", "signal.signal", "subprocess.run", "subprocess.call", "requests.get", "multiprocessing.Pool"}
)
_SHARED = frozenset({"sys.modules", "sys.path", "os.environ", "builtins"})


def find_effect(nodes: Iterable[ast.AST]) -> str:
    """The first call among the nodes that reads files, starts threads or processes, or the like; "" if none."""
    for node in nodes:
        match node:
            case ast.Call(func=func):
                name = dotted_name(func)
                if name in _EFFECTS_OF_MODULES or name.rpartition(".")[2] in _EFFECTS:
                    return name
            case ast.Subscript(ctx=ast.Store() | ast.Del(), value=value) if dotted_name(value) in _SHARED:
                return dotted_name(value)
    return ""
