"""Imports of the package."""

import subprocess
import sys


def test_yapit_text_imports_no_django():
    code = "import sys, yapit.text; sys.exit(any(name.split('.')[0] == 'django' for name in sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
