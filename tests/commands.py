"""Run a command in this process, as from a shell."""
from typing import Any

from projects.vifi_clip_tools.cli.main import main


def vifi(*argv: Any) -> int:
    """Run ``vifi-clip ARGV`` and return its exit code."""
    try:
        return main([str(word) for word in argv])
    except SystemExit as end:  # argparse's, and a command's own
        return end.code or 0


def refused(capsys, *argv: Any, names: Any = ()) -> str:
    """Check that a command line is refused before any work; return the
    message. ``names`` are options, files or values that it must name."""
    capsys.readouterr()
    code = vifi(*argv)
    said = capsys.readouterr().err
    assert code == 2, f'exit code {code}: {said}'
    for name in [names] if isinstance(names, str) else names:
        assert str(name) in said, said
    return said
