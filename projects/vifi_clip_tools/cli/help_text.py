"""How ``--help`` is laid out."""
import argparse


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Examples stay as they are written; a text of one line is filled.

    argparse's own formatters do either to both of description and epilog.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if '\n' in text.strip():
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)
