"""The command `siax`: arguments and exit codes only.

Exit codes: 0 all is well, 1 it failed while running, 2 wrong arguments or configuration.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from bridge import __version__
from bridge.config import ConfigurationError, load_configuration
from bridge.config.report import show_configuration
from bridge.config.secret import new_secret, write_new_secret
from bridge.errors import BridgeError
from bridge.log import FORMATS, LEVELS, configure_logging

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_WRONG_INPUT: Final = 2

_EXAMPLES: Final = """\
examples:
  siax keygen -o secrets/hq        make the secret that both ends of a link share
  siax check siax.yaml             look a configuration over, in plain words
  siax run siax.yaml               run the bridge until Ctrl-C
  siax demo                        see a whole call, with a phone and a far end inside

exit codes: 0 all is well, 1 it failed while running, 2 wrong arguments or configuration
"""
_RUN_EXAMPLES: Final = """\
examples:
  siax run /etc/siax/siax.yaml
  siax run siax.yaml --log-level debug --log-format json

SIGTERM and SIGINT end all calls properly and then the bridge, within 3 seconds.
"""
_CHECK_EXAMPLES: Final = """\
examples:
  siax check siax.yaml
  siax check siax.yaml && systemctl restart siax

exit codes: 0 it can be used (warnings included), 2 it cannot
"""
_DEMO_EXAMPLES: Final = """\
examples:
  siax demo            one call, then the verdict
  siax demo --hold     leave the bridge up, for a softphone to call it
"""
_KEYGEN_EXAMPLES: Final = """\
examples:
  siax keygen                  print a secret
  siax keygen -o secrets/hq    write it to a new file that you alone can read

Give the same secret to the far end (in Asterisk's iax.conf: secret=), and use it on no other link.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of `siax` and give its exit code."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except ConfigurationError as error:
        return _report_problems(error)
    except BridgeError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name not in {"pjsua2", "_pjsua2"}:
            raise
        return _fail("pjsua2 is not installed: `make demo` builds it, or see README.md")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="siax",
        description="A SIP to encrypted IAX2 bridge that hides dialed numbers.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"siax {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run = _add(commands, "run", "run the bridge", _RUN_EXAMPLES, _run)
    run.add_argument("configuration", metavar="CONFIG", type=Path, help="the YAML file")
    run.add_argument("--log-level", choices=LEVELS, default="info", help="default: info")
    run.add_argument(
        "--log-format", choices=FORMATS, help="default: console on a terminal, else json"
    )
    check = _add(commands, "check", "check a configuration", _CHECK_EXAMPLES, _check)
    check.add_argument("configuration", metavar="CONFIG", type=Path, help="the YAML file")
    demo = _add(commands, "demo", "show a whole call, step by step", _DEMO_EXAMPLES, _demo)
    demo.add_argument("--hold", action="store_true", help="leave the bridge up afterwards")
    keygen = _add(commands, "keygen", "make a secret of 256 bits", _KEYGEN_EXAMPLES, _keygen)
    keygen.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="a new file for it (mode 600)"
    )
    return parser


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    examples: str,
    command: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=command)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    loaded = load_configuration(arguments.configuration)
    configure_logging(arguments.log_level, arguments.log_format)
    log = structlog.get_logger(__name__)
    for warning in loaded.warnings:
        log.warning(
            "doubtful configuration", key=warning.key, line=warning.line, why=warning.message
        )
    from bridge import app  # noqa: PLC0415  `siax check` needs no pjsua2

    try:
        return app.run(loaded)
    except Exception as error:
        if expected := _bridge_errors(error):
            return _fail("; ".join(map(str, expected)))
        # The interpreter would print it unmasked, and not as a log entry.
        log.exception("the bridge has crashed")
        return EXIT_FAILED


def _bridge_errors(error: BaseException) -> list[BridgeError]:
    """The errors meant for the user, taken out of nurseries' groups; none if there are others."""
    if isinstance(error, BaseExceptionGroup):
        found = [_bridge_errors(inner) for inner in error.exceptions]
        return [leaf for leaves in found for leaf in leaves] if all(found) else []
    return [error] if isinstance(error, BridgeError) else []


def _check(arguments: argparse.Namespace) -> int:
    show_configuration(load_configuration(arguments.configuration), sys.stdout)
    return EXIT_OK


def _demo(arguments: argparse.Namespace) -> int:
    from bridge import demo  # noqa: PLC0415  the other commands need no phone

    return demo.run(hold=arguments.hold)


def _keygen(arguments: argparse.Namespace) -> int:
    if arguments.output is None:
        sys.stdout.write(new_secret() + "\n")
        return EXIT_OK
    write_new_secret(arguments.output)
    sys.stderr.write(
        f"wrote {arguments.output} (mode 600): name it as `secret: {{file: FILE}}` of the link, "
        "and give the same secret to the far end\n"
    )
    return EXIT_OK


def _report_problems(error: ConfigurationError) -> int:
    for problem in error.problems:
        sys.stderr.write(f"error: {problem}\n")
    count = len(error.problems)
    sys.stderr.write(f"{count} error{'s' if count > 1 else ''}: correct the file and try again\n")
    return EXIT_WRONG_INPUT


def _fail(message: str) -> int:
    sys.stderr.write(f"siax: {message}\n")
    return EXIT_FAILED
