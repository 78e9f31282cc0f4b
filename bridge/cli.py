"""The command `siax`: arguments and exit codes only.

Exit codes: 0 all is well, 1 it failed while running, 2 wrong arguments or configuration.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from bridge import __version__
from bridge.config import ConfigurationError, load_configuration
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
  siax status siax.yaml            what was seen of links and calls, and a grade for each
  siax demo                        see a whole call, with a phone and a far end inside
  siax audit link.pcap             what an eavesdropper learns from a captured link
  siax decrypt link.pcap --secret-file secrets/hq -o clear.pcap
                                   open a captured call for Wireshark

exit codes: 0 all is well, 1 it failed while running, 2 wrong arguments or configuration
"""
_RUN_EXAMPLES: Final = """\
examples:
  siax run /etc/siax/siax.yaml
  siax run siax.yaml --log-level debug --log-format json
  siax run siax.yaml --trace hq    the frames of a link, as `iax2 set debug on` shows them

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
_STATUS_EXAMPLES: Final = """\
examples:
  siax status siax.yaml                        what was seen of links and calls
  siax status siax.yaml --watch                the same, live
  siax status --state-dir /var/lib/siax --json for machines: see docs/cli.md

Without CONFIG: siax.yaml here, else /etc/siax/siax.yaml. It never shows a number or a caller.

exit codes: 0 shown, 1 the service does not answer, 2 wrong place, or no permission for it
"""
_AUDIT_EXAMPLES: Final = """\
examples:
  tcpdump -i any -w link.pcap udp port 4569
  siax audit link.pcap                         what an eavesdropper learns, call by call
  siax audit link.pcap --link siax.yaml        and whether it is as configured
  siax audit link.pcap --html audit.html       with the timeline drawn

It needs no secret. What it finds it shows, numbers included.

exit codes: 0 nothing leaks, 1 something leaks, 2 wrong input
"""
_DECRYPT_EXAMPLES: Final = """\
examples:
  siax decrypt link.pcap --secret-file secrets/hq -o clear.pcap
  wireshark clear.pcap

The secret file may hold several secrets, one a line. OUT.pcap is in clear: whoever
reads it knows the numbers and hears the calls.

exit codes: 0 every encrypted call was opened, 1 calls were left out, 2 wrong input
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
        code = command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end
        return EXIT_FAILED
    except ConfigurationError as error:
        return _report_problems(error)
    except BridgeError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name not in {"pjsua2", "_pjsua2"}:
            raise
        return _fail("pjsua2 is not installed: `make demo` builds it, or see README.md")
    return code


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
    run.add_argument(
        "--trace", metavar="LINK", help="write this link's frames, digits masked, as Asterisk does"
    )
    run.add_argument("--trace-digits", action="store_true", help="and show numbers and digits")
    check = _add(commands, "check", "check a configuration", _CHECK_EXAMPLES, _check)
    check.add_argument("configuration", metavar="CONFIG", type=Path, help="the YAML file")
    demo = _add(commands, "demo", "show a whole call, step by step", _DEMO_EXAMPLES, _demo)
    demo.add_argument("--hold", action="store_true", help="leave the bridge up afterwards")
    _add_status(commands)
    _add_audit(commands)
    _add_decrypt(commands)
    keygen = _add(commands, "keygen", "make a secret of 256 bits", _KEYGEN_EXAMPLES, _keygen)
    keygen.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="a new file for it (mode 600)"
    )
    return parser


def _add_status(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    status = _add(commands, "status", "show what was seen of links", _STATUS_EXAMPLES, _status)
    status.add_argument(
        "configuration", metavar="CONFIG", type=Path, nargs="?", help="that the service runs with"
    )
    status.add_argument(
        "--state-dir", metavar="DIR", type=Path, help="the service's state_dir, instead of CONFIG"
    )
    status.add_argument("--json", action="store_true", help="for machines: see docs/cli.md")
    status.add_argument("--watch", action="store_true", help="again each second, until Ctrl-C")


def _add_audit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    audit = _add(commands, "audit", "tell what an eavesdropper learns", _AUDIT_EXAMPLES, _audit)
    audit.add_argument("capture", metavar="CAPTURE", type=Path, help="a pcap or pcapng file")
    audit.add_argument(
        "--link", metavar="CONFIG", type=Path, help="compare with what this configuration promises"
    )
    audit.add_argument("--json", action="store_true", help="for machines: see docs/audit.md")
    audit.add_argument("--html", metavar="FILE", type=Path, help="write a page with the timeline")


def _add_decrypt(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    decrypt = _add(
        commands, "decrypt", "write captured calls in clear", _DECRYPT_EXAMPLES, _decrypt
    )
    decrypt.add_argument("capture", metavar="CAPTURE", type=Path, help="a pcap or pcapng file")
    decrypt.add_argument(
        "--secret-file", metavar="FILE", type=Path, required=True, help="secrets, one a line"
    )
    decrypt.add_argument(
        "-o", "--output", metavar="OUT.pcap", type=Path, required=True, help="a new file (mode 600)"
    )
    decrypt.add_argument("--force", action="store_true", help="overwrite OUT.pcap")


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
    links = loaded.configuration.links
    if arguments.trace is not None and arguments.trace not in links:
        _fail(f"--trace: expected the name of a link ({', '.join(links)})")
        return EXIT_WRONG_INPUT
    configure_logging(arguments.log_level, arguments.log_format)
    log = structlog.get_logger(__name__)
    for warning in loaded.warnings:
        log.warning(
            "doubtful configuration", key=warning.key, line=warning.line, why=warning.message
        )
    from bridge import app  # noqa: PLC0415  `siax check` needs no pjsua2
    from bridge.status.tracing import TraceRequest  # noqa: PLC0415

    trace = arguments.trace and TraceRequest(arguments.trace, arguments.trace_digits)
    try:
        return app.run(loaded, trace)
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
    from bridge.config.report import show_configuration  # noqa: PLC0415  `siax run` draws nothing

    show_configuration(load_configuration(arguments.configuration), sys.stdout)
    return EXIT_OK


def _demo(arguments: argparse.Namespace) -> int:
    from bridge import demo  # noqa: PLC0415  the other commands need no phone

    return demo.run(hold=arguments.hold)


def _status(arguments: argparse.Namespace) -> int:
    from bridge.status import client, commands  # noqa: PLC0415  `siax check` asks nobody

    try:
        commands.status(
            arguments.configuration,
            arguments.state_dir,
            as_json=arguments.json,
            watch=arguments.watch,
        )
    except client.WrongPlaceError as error:
        _fail(str(error))
        return EXIT_WRONG_INPUT
    return EXIT_OK


def _audit(arguments: argparse.Namespace) -> int:
    from bridge.audit import commands  # noqa: PLC0415  `siax run` needs no captures

    return _on_capture(
        lambda: commands.audit(
            arguments.capture, arguments.link, arguments.html, as_json=arguments.json
        )
    )


def _decrypt(arguments: argparse.Namespace) -> int:
    from bridge.audit import commands  # noqa: PLC0415  `siax run` needs no captures

    return _on_capture(
        lambda: commands.decrypt(
            arguments.capture, arguments.secret_file, arguments.output, force=arguments.force
        )
    )


def _on_capture(command: Callable[[], int]) -> int:
    """Run a command that reads a capture; one that cannot be read is wrong input."""
    from bridge.audit import CaptureError  # noqa: PLC0415  `siax run` needs no captures

    try:
        return command()
    except CaptureError as error:
        _fail(str(error))
        return EXIT_WRONG_INPUT


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
