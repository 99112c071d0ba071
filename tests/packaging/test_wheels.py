"""The wheels of the product and of the client: built, installed in separate environments, and used."""

import ast
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

import pytest

import yapit
from tests.config.test_services import processes_of
from tests.stack import ROOT
from tests.waiting import PROCESS_PATIENCE, wait_until

pytestmark = pytest.mark.slow

PACKAGES = ("config", "audiocache", "billing", "yapit")
README_EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)
SHOW_STATE_FOLDER = "import sys; from django.conf import settings; sys.stdout.write(str(settings.STATE_DIR))"
USE_BOTH = "import yapit.client, yapit.web, sys; sys.stdout.write(yapit.__version__)"


class Environment:
    """A virtual environment; commands run in it without the variables of the test run."""

    def __init__(self, folder):
        self.folder = folder
        venv.create(folder, symlinks=True)
        [self.site_packages] = folder.glob("lib/python*/site-packages")

    def pip(self, *arguments):
        """Run the pip of the development environment on this one, without network."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.folder), "--disable-pip-version-check"]
        run([*pip, *arguments], cwd=self.folder)

    def install(self, wheel, *options):
        self.pip("install", "--quiet", "--no-index", *options, str(wheel))

    def add_distribution(self, name):
        """Copy an installed distribution of the development environment."""
        for file in importlib.metadata.files(name):
            if ".." not in file.parts:
                target = self.site_packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)

    def add_development_packages(self):
        paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        paths |= {path for path in sys.path if path.endswith("site-packages")}
        (self.site_packages / "development.pth").write_text("\n".join(sorted(paths)) + "\n")

    def command(self, name):
        return str(self.folder / "bin" / name)

    def run(self, name, *arguments, **options):
        return run([self.command(name), *arguments], **options)


def run(command, *, cwd, env=None, **options):
    done = subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": os.defpath, "HOME": str(cwd), **(env or {})},
        capture_output=True,
        text=True,
        timeout=PROCESS_PATIENCE,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source, folder):
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    run(
        [*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT / source)],
        cwd=folder,
    )
    [wheel] = folder.glob("*.whl")
    return wheel


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def files_of(*paths):
    """Paths below the root of the repository; byte code is no part of a distribution."""
    files = [file for path in paths for file in [ROOT / path, *(ROOT / path).rglob("*")] if file.is_file()]
    return {str(file.relative_to(ROOT)) for file in files if "__pycache__" not in file.parts}


@pytest.fixture(scope="module")
def client_wheel(tmp_path_factory):
    return build("packaging/client", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def product_wheel(tmp_path_factory):
    return build(".", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def client(tmp_path_factory, client_wheel):
    """An environment with the client wheel and its two dependencies."""
    environment = Environment(tmp_path_factory.mktemp("client"))
    environment.add_distribution("msgspec")
    environment.add_distribution("websockets")
    environment.install(client_wheel)
    return environment


@pytest.fixture(scope="module")
def product(product_wheel):
    """An environment with the product wheel, readable for the user that PostgreSQL runs as."""
    folder = Path(tempfile.mkdtemp(prefix="yapit-installed-"))
    folder.chmod(0o755)
    environment = Environment(folder / "environment")
    environment.add_development_packages()
    environment.install(product_wheel, "--no-deps")
    yield environment
    wait_until(lambda: not processes_of(folder), PROCESS_PATIENCE)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def stack(product):
    """`yapit run` of the installed product: its address and its first API key."""
    home = product.folder.parent / "home"
    (home / "state").mkdir(mode=0o755, parents=True)  # else as root its data would be in /var/lib
    variables = {"PATH": os.defpath, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [product.command("yapit"), "run", "--port", "0"],
            cwd=home,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(
            lambda: process.poll() is not None or "Yapit is ready" in log.read_text(), PROCESS_PATIENCE
        )
        assert process.poll() is None, log.read_text()
        [url] = re.findall(r"Yapit is ready: (http://\S+)/", log.read_text())
        yield url, (home / "state/yapit/credentials.txt").read_text().split()[-1]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PROCESS_PATIENCE) == 0, log.read_text()


def test_the_product_wheel_contains_every_file_of_its_packages(product_wheel):
    assert contents(product_wheel) == files_of(*PACKAGES)


def test_the_client_wheel_contains_the_client_and_the_messages_only(client_wheel):
    assert contents(client_wheel) == files_of("yapit/__init__.py", "yapit/protocol.py", "yapit/client")


def test_the_client_wheel_imports_neither_django_nor_the_rest_of_the_product(client_wheel):
    allowed = {"msgspec", "websockets", *sys.stdlib_module_names}
    for file in contents(client_wheel):
        for module in imported_modules((ROOT / file).read_text()):
            assert module.split(".")[0] in allowed or f"{module}.".startswith(
                ("yapit.client.", "yapit.protocol.")
            ), (file, module)


def imported_modules(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_the_client_environment_has_no_other_distributions(client):
    names = {item.name for item in client.site_packages.iterdir() if item.name.endswith(".dist-info")}

    assert {name.split("-")[0] for name in names} == {"yapit_client", "msgspec", "websockets"}


def test_the_client_can_be_installed_beside_the_product(client_wheel, product_wheel, tmp_path):
    for order in ([client_wheel, product_wheel], [product_wheel, client_wheel]):
        environment = Environment(tmp_path / order[0].name)
        environment.add_development_packages()
        for wheel in order:
            environment.install(wheel, "--no-deps")

        assert environment.run("python", "-P", "-c", USE_BOTH, cwd=tmp_path) == yapit.__version__


def test_the_command_describes_itself(product, tmp_path):
    assert product.run("yapit", "--version", cwd=tmp_path) == f"yapit {yapit.__version__}\n"
    assert "yapit run [OPTIONS]" in product.run("yapit", "--help", cwd=tmp_path)
    assert "usage: yapit run" in product.run("yapit", "run", "--help", cwd=tmp_path)


def test_management_commands_run_outside_a_checkout(product, tmp_path):
    assert "no issues" in product.run("yapit", "manage", "check", cwd=tmp_path)
    folder = product.run("yapit", "manage", "shell", "-v0", "-c", SHOW_STATE_FOLDER, cwd=tmp_path)

    assert folder == str(tmp_path / ".local/state/yapit")


def test_the_example_of_the_readme_speaks_with_the_client_wheel_alone(client, stack, tmp_path):
    url, key = stack
    program, *_ = README_EXAMPLE.findall((ROOT / "README.md").read_text())  # the others are excerpts

    client.run(
        "python",
        *("-P", "-c", program.replace("http://127.0.0.1:8000", url)),
        cwd=tmp_path,
        env={"YAPIT_KEY": key},
        input="Good morning.\n\nThis is the second paragraph.",
    )

    files = sorted(tmp_path.glob("*.ogg"))
    assert files
    assert all(file.read_bytes().startswith(b"OggS") for file in files)


def test_the_readme_of_the_client_shows_the_same_example():
    in_product, in_client = (
        README_EXAMPLE.findall((ROOT / path).read_text())
        for path in ("README.md", "packaging/client/README.md")
    )

    assert in_product == in_client
