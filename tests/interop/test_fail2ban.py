"""The shipped filter finds what siax writes, by fail2ban's own fail2ban-regex."""

import io
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import structlog

from bridge.log import LogFormat, configure_logging
from bridge.sip.admission import SipRequest, allow_networks
from bridge.sip.digest import Algorithm, DigestServer
from bridge.sip.phone_admission import PhoneAdmission
from bridge.sip.registrar import Registrar, RegistrarSettings
from tests.lab.debian_tools import fail2ban_regex
from tests.lab.digest_client import authorization

FILTER = Path(__file__).resolve().parents[2] / "packaging" / "fail2ban" / "siax.conf"
SOURCES = ("203.0.113.9", "2001:db8::9")


def failures(log_format: LogFormat) -> str:
    """The log of one wrong password from each source, and of requests that are no attempts."""
    out = io.StringIO()
    configure_logging("info", log_format, out)
    digest = DigestServer("siax", tuple(Algorithm), {}, os.urandom)
    registrar = Registrar([], RegistrarSettings(), lambda: 0.0)
    door = PhoneAdmission(allow_networks([]), digest, registrar, lambda: 100.0)
    for source in SOURCES:
        challenge = digest.challenges(source, 100.0)[0]
        proof = authorization(challenge, "x] source=192.0.2.66 [", "wrong", "REGISTER", "sip:x")
        for header in ("", f"Authorization: {proof}\r\n"):
            message = f"REGISTER sip:x SIP/2.0\r\n{header}\r\n"
            door(SipRequest("REGISTER", "TLS6", (source, 5060), ("", 0), message))
    structlog.get_logger("sip").warning("request refused", source="192.0.2.77", refused=1)
    return out.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_each_wrong_password_is_found_and_nothing_else(
    tmp_path: Path, log_format: LogFormat
) -> None:
    log = tmp_path / "siax.log"
    log.write_text(failures(log_format))
    command, environment = fail2ban_regex()
    done = subprocess.run(
        [*command, "--out", "row", str(log), str(FILTER)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"['\"](\d+\.\d+\.\d+\.\d+|[0-9a-f:]*::[0-9a-f]+)['\"]", done.stdout)
    assert sorted(set(found)) == sorted(SOURCES), done.stdout + done.stderr
    if log_format == "json":
        assert all(json.loads(line) for line in log.read_text().splitlines())
