"""Imports run one way, late ones included: docs/design.md says which."""
import ast
import importlib.util
import sys
from graphlib import TopologicalSorter
from pathlib import Path

REPO = Path(__file__).parents[1]
PLUGIN, TOOLS = 'projects.vifi_clip', 'projects.vifi_clip_tools'
CONFIGS = 'projects.vifi_clip_configs'  # which both use, and is quick
# Each may use what stands in a row above it; those in one row know nothing of
# each other.
ROWS = [['errors', 'files', 'version', 'network'], ['resources'],
        ['architectures', 'compat'],
        ['checkpoints', 'evaluation'], ['datasets'], ['models'], ['engine'],
        ['apis']]
# Among the commands, by folder: who may use whom.
USES = {
    'merge': {'run'},
    'demo': {'search', 'attention', 'predict', 'mini_world'},
    'doctor': {'splits'},
    'mini_world': {'splits'},
    'paper': {'run', 'predict', 'merge', 'mini_world', 'splits'},
    'search': {'embeddings'},
    'tsne': {'embeddings'},
}
# Name of each module of ours to its file.
MODULES = {
    '.'.join(path.relative_to(REPO).with_suffix('').parts
             ).removesuffix('.__init__'): path
    for root in ('projects/vifi_clip', 'projects/vifi_clip_configs',
                 'projects/vifi_clip_tools')
    for path in sorted((REPO / root).rglob('*.py'))
}


def imports(name: str, path: Path) -> list:
    """Modules that a module imports: name, line, whether at its top."""
    tree = ast.parse(path.read_text())
    package = name if path.name == '__init__.py' else name.rpartition('.')[0]
    top = {id(node) for node in _run_at_import(tree)}
    edges = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name(
                '.' * node.level + (node.module or ''), package)
            targets = [f'{base}.{alias.name}'
                       if f'{base}.{alias.name}' in MODULES else base
                       for alias in node.names]
        else:
            continue
        edges += [(target, node.lineno, id(node) in top)
                  for target in targets]
    return edges


def _run_at_import(tree: ast.Module):
    """Statements that run when the module is imported."""
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or (
                isinstance(node, ast.If)
                and 'TYPE_CHECKING' in ast.dump(node.test)):
            continue
        yield node
        pending += [child for child in ast.iter_child_nodes(node)
                    if isinstance(child, ast.stmt)]


def part_of(module: str) -> tuple:
    """Package of a module, and its folder or file below that."""
    package = next((name for name in (TOOLS, CONFIGS)
                    if (module + '.').startswith(name + '.')), PLUGIN)
    return package, module[len(package) + 1:].partition('.')[0]


def allowed(source: str, target: str) -> bool:
    (package, part), (other, used) = part_of(source), part_of(target)
    if not part or (package, part) == (other, used):
        return True  # a package's own __init__, or one folder
    if CONFIGS in (package, other):
        return other == CONFIGS
    if package == other == PLUGIN:
        row = {name: i for i, names in enumerate(ROWS) for name in names}
        return part == 'apis' if not used else row[used] < row[part]
    return package == TOOLS and (
        other == PLUGIN or used == 'cli' or used in USES.get(part, set()))


def test_imports_run_one_way():
    assert not [f'{path.relative_to(REPO)}:{line}: {name} uses {target}'
                for name, path in MODULES.items()
                for target, line, _ in imports(name, path)
                if target.startswith('projects.')
                and not allowed(name, target)]


def test_a_back_arrow_would_be_seen(tmp_path):
    late = tmp_path / 'late.py'
    late.write_text('def f():\n    from ..engine import hooks\n')
    source, target = f'{PLUGIN}.datasets.late', f'{PLUGIN}.engine.hooks'
    assert imports(source, late) == [(target, 2, False)]
    assert not allowed(source, target)


def test_videos_are_read_in_one_place():
    """The others with these libraries write videos, or read streams."""
    users = {name.rpartition('vifi_clip')[2]
             for name, path in MODULES.items()
             for target, _, _ in imports(name, path)
             if target.partition('.')[0] in ('av', 'decord')}
    assert users == {'.datasets.containers', '.datasets.video_file',
                     '.datasets.video_reader', '_tools.cli.media',
                     '_tools.mini_world.clips', '_tools.pack.encode',
                     '_tools.predict.stream'}


def test_no_file_imports_itself_through_others():
    graph = {name: {target for target, _, _ in imports(name, path)
                    if target in MODULES and target != name}
             for name, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # or CycleError


def test_options_are_read_before_anything_heavy_is_imported():
    from projects.vifi_clip_tools.cli.main import COMMANDS
    pending = [f'{TOOLS}.{command.module}' for command in COMMANDS.values()]
    pending += [f'{TOOLS}.cli.main']
    seen = set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        for target, line, top in imports(name, MODULES[name]):
            if not top:
                continue
            if target in MODULES and part_of(target)[0] != PLUGIN:
                pending += [target, target.rpartition('.')[0]]
            else:
                assert target.partition('.')[0] in sys.stdlib_module_names, (
                    f'{name}:{line}: {target} takes seconds')
