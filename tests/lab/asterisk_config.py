"""What the lab's Asterisks are told: configuration texts, file name by file name.

A far end takes the files of configs/asterisk as they stand and replaces the two that a site
edits. The others are the lab's own: a far end that knows no encryption, and a SIP gateway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.lab.asterisk_modules import BASE_MODULES, SIP_MODULES

SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "asterisk"
USERNAME = "branch-7"
EXTENSION = "enc"
IAX_PORT = 4569
DIGITS_LOG = "digits.log"
HERE = "@HERE@"
"""Stands in a configuration text for the peer's own folder."""

INDICATIONS = """[general]
country=us
[us]
description=United States
ringcadence=2000,4000
dial=350+440
busy=480+620/500,0/500
ring=440+480/2000,0/4000
congestion=480+620/250,0/250
"""

ECHO = ("Echo()",)
MILLIWATT = ("Milliwatt()",)
_MORE_CALLS = "maxcallnumbers=8192\nmaxcallnumbers_nonvalidated=8192\n"


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """One Asterisk: where it listens, what it loads, what its files say.

    `keys` are RSA's, in PEM, by the names of their files.
    """

    address: str
    files: Mapping[str, str] = field(repr=False)
    modules: tuple[str, ...] = BASE_MODULES
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class SipSide:
    """The SIP port of an Asterisk, and the phone that it calls as PJSIP/phone."""

    port: int
    phone_host: str = "127.0.0.1"
    phone_port: int = 5070
    rtp_ports: tuple[int, int] = (30000, 30999)
    codecs: str = "ulaw,alaw"


def far_end(
    address: str,
    secret: str,
    onward: Sequence[str] = ECHO,
    sip: SipSide | None = None,
    *,
    for_load: bool = False,
    with_caller: bool = False,
) -> PeerSettings:
    """A far end with the configuration that we ship.

    Args:
        address: The loopback address to listen on, port 4569.
        secret: The secret of `branch-7`.
        onward: The applications that a call goes through once its digits are read and logged.
        sip: With it the far end can call a phone: `Dial(PJSIP/phone)`.
        for_load: Lifts Asterisk's limits on call numbers and unauthenticated calls.
        with_caller: Uses the context for bridges that send who calls.
    """
    listen = f"[siax-listen](!)\nbindport={IAX_PORT}\nbindaddr={address}\n"
    known = f"[siax-secret-{USERNAME}](!)\nsecret={secret}\n"
    if for_load:
        listen, known = listen + _MORE_CALLS, known + "maxauthreq=0\n"
    files = {path.name: path.read_text() for path in SHIPPED.glob("*.conf")}
    if with_caller:
        files["iax.conf"] = files["iax.conf"].replace("context=enc ", "context=enc-caller ")
    files |= {"siax-site.conf": listen + known, "siax-onward.conf": _logged(onward)}
    return _with_sip(PeerSettings(address, files), sip) if sip else PeerSettings(address, files)


def with_codecs(settings: PeerSettings, codecs: str) -> PeerSettings:
    """The same far end with other codecs: Asterisk's names, best first, between commas."""
    shipped = "disallow=all\nallow=ulaw\nallow=alaw\n"
    iax = settings.files["iax.conf"].replace(shipped, f"disallow=all\nallow={codecs}\n")
    return replace(settings, files={**settings.files, "iax.conf": iax})


def unencrypted_far_end(address: str, secret: str) -> PeerSettings:
    """A far end whose user has no encryption: its AUTHREQ offers none."""
    shipped = far_end(address, secret)
    iax = "".join(
        line
        for line in shipped.files["iax.conf"].splitlines(keepends=True)
        if not line.startswith(("encryption=", "forceencryption="))
    )
    return PeerSettings(address, {**shipped.files, "iax.conf": iax})


def rsa_far_end(
    address: str, secret: str, public_key: bytes, onward: Sequence[str] = ECHO
) -> PeerSettings:
    """A far end whose user has to sign with the key whose public half is given, in PEM."""
    shipped = far_end(address, secret, onward)
    iax = shipped.files["iax.conf"].replace("auth=md5\n", f"auth=rsa\ninkeys={USERNAME}\n")
    files = {**shipped.files, "iax.conf": iax}
    return PeerSettings(address, files, keys={f"{USERNAME}.pub": public_key})


def caller(
    address: str,
    peer: str,
    secret: str,
    private_key: bytes | None = None,
    digits: str = "0123456789",
) -> PeerSettings:
    """An Asterisk that calls an IAX2 peer as IAX2/hq, and sends digits and then a tone.

    Args:
        address: The loopback address that it calls from.
        peer: Whom it calls, as "host:port".
        secret: That of `branch-7`.
        private_key: Signs the challenges, in PEM; MD5 where there is none.
        digits: What it sends once it is answered.
    """
    host, _, port = peer.partition(":")
    auth = "auth=md5" if private_key is None else f"auth=rsa\noutkey={USERNAME}"
    iax = f"""[general]
bindport={IAX_PORT}
bindaddr={address}
forceencryption=yes
disallow=all
allow=ulaw
jitterbuffer=no

[hq]
type=peer
host={host}
port={port}
username={USERNAME}
secret={secret}
{auth}
encryption=aes128
forceencryption=yes
trunk=no
transfer=no
qualify=no
"""
    extensions = f"[tones]\nexten => s,1,SendDTMF({digits},150)\n same => n,Milliwatt()\n"
    keys = {} if private_key is None else {f"{USERNAME}.key": private_key}
    return PeerSettings(address, {"iax.conf": iax, "extensions.conf": extensions}, keys=keys)


def sip_gateway(
    address: str, sip: SipSide, peer: str, secret: str, *, dial: str = "", for_load: bool = False
) -> PeerSettings:
    """An Asterisk that takes SIP calls and places encrypted IAX2 calls: what the bridge replaces.

    A phone dials 9 and a number; the number and "#" follow the answer as digits.

    Args:
        address: The loopback address of both sides.
        sip: The SIP side.
        peer: The far end's address, port 4569, or "host:port".
        secret: The secret of `branch-7` there.
        dial: The argument of Dial(), when it is to be another than the default.
        for_load: Lifts Asterisk's limits on call numbers.
    """
    host, _, port = peer.partition(":")
    dial = dial or f"IAX2/hq/{EXTENSION},30,D(${{EXTEN:1}}#)"
    iax = f"""[general]
bindport={IAX_PORT}
bindaddr={address}
forceencryption=yes
{_MORE_CALLS if for_load else ""}disallow=all
allow={sip.codecs}
jitterbuffer=no

[hq]
type=peer
host={host}
port={port or IAX_PORT}
username={USERNAME}
secret={secret}
auth=md5
encryption=aes128
forceencryption=yes
trunk=no
transfer=no
qualify=no
disallow=all
allow={sip.codecs}
"""
    extensions = f"[from-phone]\nexten => _9X!,1,Dial({dial})\n same => n,Hangup()\n"
    return _with_sip(PeerSettings(address, {"iax.conf": iax, "extensions.conf": extensions}), sip)


def _logged(onward: Sequence[str]) -> str:
    """A dial plan that takes every number and notes it: for tests alone."""
    note = "${EXTEN}|${CHANNEL(secure_media)}|${CALLERID(all)}"
    steps = [f"Set(FILE({HERE}/{DIGITS_LOG},,,al,u)={note})", *onward, "Hangup(16)"]
    numbered = "".join(f" same => n,{step}\n" for step in steps)
    return f"[siax-onward]\nexten => _[0-9A-D*]!,1,NoOp()\n{numbered}exten => i,1,Hangup(1)\n"


def _with_sip(settings: PeerSettings, sip: SipSide) -> PeerSettings:
    low, high = sip.rtp_ports
    pjsip = f"""[udp]
type=transport
protocol=udp
bind={settings.address}:{sip.port}

[phone]
type=endpoint
transport=udp
context=from-phone
aors=phone
disallow=all
allow={sip.codecs}
direct_media=no
dtmf_mode=rfc4733
media_address={settings.address}
bind_rtp_to_media_address=yes

[phone]
type=aor
contact=sip:phone@{sip.phone_host}:{sip.phone_port}

[phone]
type=identify
endpoint=phone
match=127.0.0.0/8
"""
    rtp = f"[general]\nrtpstart={low}\nrtpend={high}\nstrictrtp=no\n"
    files = {**settings.files, "pjsip.conf": pjsip, "rtp.conf": rtp}
    return PeerSettings(settings.address, files, settings.modules + SIP_MODULES)
