"""The `yapit` command: run everything on this machine, or one management command."""

import os
import sys
from collections.abc import Sequence

import yapit

USAGE = """\
usage: yapit run [OPTIONS]               run PostgreSQL, Valkey and all processes on this machine
       yapit manage COMMAND [OPTIONS]    run one management command; `yapit manage help` lists them
       yapit --version | --help

Options are described by `yapit run --help` and `yapit manage COMMAND --help`.
Databases, audio and credentials are kept in $XDG_STATE_HOME/yapit (~/.local/state/yapit where that is
unset); STATE_DIR names another folder.
"""


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    match sys.argv[1:]:
        case ["run", *options]:
            run(options)
        case ["manage", *arguments]:
            manage(arguments)
        case ["--version"]:
            sys.stdout.write(f"yapit {yapit.__version__}\n")
        case ["--help" | "-h"]:
            sys.stdout.write(USAGE)
        case _:
            sys.stderr.write(USAGE)
            sys.exit(2)


def run(options: Sequence[str]) -> None:
    import django
    from django.core.management import ManagementUtility

    django.setup()
    # Called by hand for the sake of its help, which otherwise names `yapit run_stack`.
    ManagementUtility(["yapit"]).fetch_command("run_stack").run_from_argv(["yapit", "run", *options])


def manage(arguments: Sequence[str]) -> None:
    from django.core.management import execute_from_command_line

    execute_from_command_line(["yapit manage", *arguments])


if __name__ == "__main__":
    main()
