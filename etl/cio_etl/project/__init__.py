"""Files to begin with: the demo, and a project of one's own.

demo.py       the demo: a shop's export, and the shipped job and mappings that load it
demo_data.py  the data of that export
new.py        a new project, made of the files in template/
shipped.py    finds the files that the package ships, and that the repository has elsewhere
template/     a project's files as they are written; `dot_` in a name stands for the dot
"""

from cio_etl.project.demo import DEMO_JOB, write_demo
from cio_etl.project.new import PROJECT_JOB, write_project

__all__ = ["DEMO_JOB", "PROJECT_JOB", "write_demo", "write_project"]
