"""Audio files, created once by init_audiocache and copied for each test."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

MANAGE = Path(__file__).parents[2] / "manage.py"


@cache
def made_files() -> Path:
    folder = Path(os.environ["STATE_DIR"]) / "made"  # goes at the end of the run
    environment = {**os.environ, "AUDIO_DIR": str(folder)}
    command = [sys.executable, str(MANAGE), "init_audiocache"]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return folder


def copy_files(folder: Path) -> Path:
    return Path(shutil.copytree(made_files(), folder))
