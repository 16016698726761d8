"""What setup.cfg cannot say: configs and scripts go into the wheel, too.

They lie in ``vifi_clip/.mim`` there, where MMEngine and mim look for them;
``projects/vifi_clip_configs/shipped.py`` finds them.
"""
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
# No generated lists, and no scripts that set up a checkout.
SHIPPED = ('configs/**/*.py', 'configs/metafile.yml', 'model-index.yml',
           'tools/*.py', 'tools/dist_*.sh',
           'tools/slurm_*.sh', 'tools/_launch.sh', 'tools/_slurm.sh',
           'tools/_python.sh', 'data_splits/**/*classes*.txt',
           'data_splits/**/README.md')


class build_py_and_mim(build_py):
    """Adds the files of :data:`SHIPPED`."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # the checkout's own are read
        folder = Path(self.build_lib, 'vifi_clip', '.mim')
        # An earlier build's may have been renamed since.
        shutil.rmtree(folder, ignore_errors=True)
        for pattern in SHIPPED:
            for path in HERE.glob(pattern):
                target = folder / path.relative_to(HERE)
                self.mkpath(str(target.parent))
                self.copy_file(str(path), str(target))


setup(cmdclass=dict(build_py=build_py_and_mim))
