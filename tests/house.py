"""The house as its folders tell it: which package imports which, and the picture of it in ARCHITECTURE.md.

python -m tests.house    # prints the picture, to be pasted between the fences
"""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOPS = ("transforms", "beam_pipelines", "winnow")
NAMES = {
    "transforms": "transforms: stages",
    "beam_pipelines": "beam_pipelines: jobs",
    "transforms.rows": "rows",
    "winnow": "winnow: in Python",
}


def modules(root):
    """Returns dotted name -> path of every module; packages by the name of their folder."""
    paths = [path for top in TOPS for path in sorted((root / top).rglob("*.py"))]
    names = {path: ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for path in paths}
    return {name: path for path, name in names.items()}


def imports(path, known):
    """Yields the dotted names that a file imports: modules of ours whole, of others as written."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else node.module


def is_package(path):
    return path.name == "__init__.py"


def package_of(name, known):
    return name if is_package(known[name]) else name.rpartition(".")[0]


def room_of(name, known):
    """Returns the package that the picture shows for a module: parts of ``recipes`` are one, ``rows`` stands alone."""
    if name == "transforms.rows":
        return name
    package = package_of(name, known)
    return ".".join(package.split(".")[:3])


def rooms(root):
    """Returns package -> packages that it imports."""
    known = modules(root)
    graph = defaultdict(set)
    for name, path in known.items():
        graph[room_of(name, known)].update(room_of(other, known) for other in imports(path, known) if other in known)
    return {room: others - {room, "transforms.lib"} for room, others in graph.items() if room != "transforms.lib"}


def reached(node, graph):
    """Returns the nodes that ``node`` reaches by one arrow or more."""
    seen, todo = set(), [node]
    while todo:
        for other in graph.get(todo.pop(), ()):
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


def picture(root=ROOT):
    """Returns the packages as a mermaid diagram; an arrow that others imply is left out."""
    graph = rooms(root)
    lines = ["graph TD"]
    for room in sorted(graph):
        label = NAMES.get(room, room.removeprefix("transforms.").removeprefix("beam_pipelines.").removeprefix("lib."))
        lines.append(f'  {room.replace(".", "_")}["{label}"]')
    for room, others in sorted(graph.items()):
        implied = {far for other in others for far in reached(other, graph)}
        lines += [f"  {room.replace('.', '_')} --> {other.replace('.', '_')}" for other in sorted(others - implied)]
    return "\n".join(lines)


if __name__ == "__main__":
    print(picture())
