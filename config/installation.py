"""Installation layout: a checkout or an installed wheel, its state folder and its management command line."""

import os
import sys
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
IS_CHECKOUT = (BASE_DIR / "manage.py").is_file()


def default_state_folder() -> Path:
    """`.state` in a checkout; otherwise the state folder of the XDG base directory specification."""
    if IS_CHECKOUT:
        return BASE_DIR / ".state"
    home = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not home.is_absolute():  # unset, or to be ignored according to the specification
        home = Path("~/.local/state").expanduser()
    return home / "yapit"


def management_command_line() -> list[str]:
    """The command line of management commands, up to the name of the command."""
    if IS_CHECKOUT:
        return [sys.executable, str(BASE_DIR / "manage.py")]
    # -P: Python does not search the working directory for modules.
    return [sys.executable, "-P", "-m", "yapit", "manage"]
