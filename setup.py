"""What setup.cfg cannot say: configs and scripts go into the wheel, too.

They lie in ``projects/vifi_clip/.mim`` there, as OpenMMLab's packages have
them; ``projects/vifi_clip/resources.py`` finds them.
"""
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
# No generated lists, and no scripts that set up a checkout.
SHIPPED = ('configs/**/*.py', 'tools/*.py', 'tools/dist_*.sh',
           'tools/slurm_*.sh', 'tools/_launch.sh', 'tools/_slurm.sh',
           'tools/_python.sh', 'data_splits/**/*classes*.txt',
           'data_splits/**/README.md')


class build_py_and_mim(build_py):
    """Adds the files of :data:`SHIPPED`."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # which reads those of the checkout
            # An earlier build's may have been renamed since.
            shutil.rmtree(Path(self.build_lib, self._MIM), ignore_errors=True)
            for source, target in self._shipped():
                self.mkpath(str(target.parent))
                self.copy_file(str(source), str(target))

    _MIM = Path('projects', 'vifi_clip', '.mim')

    def _shipped(self):
        """Pairs of source and target."""
        for pattern in SHIPPED:
            for path in sorted(HERE.glob(pattern)):
                yield path, Path(self.build_lib, self._MIM,
                                 path.relative_to(HERE))

    def get_outputs(self, include_bytecode=True):
        files = super().get_outputs(include_bytecode)
        if self.editable_mode:
            return files
        return files + [str(target) for _, target in self._shipped()]


setup(cmdclass=dict(build_py=build_py_and_mim))
