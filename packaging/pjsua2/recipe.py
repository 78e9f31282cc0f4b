"""What a wheel is made of, and the key that names it in the cache.

Owns the flags of the build and the list of our own sources. Must not know where PJSIP's source
comes from nor how the steps are run.
"""

from __future__ import annotations

import hashlib
import platform
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONFIG_SITE = HERE / "config_site.h"
EXTENSION = HERE / "extension"

WITHOUT = (
    "libuuid",
    "upnp",
    "sound",
    "video",
    "sdl",
    "ffmpeg",
    "v4l2",
    "openh264",
    "vpx",
    "libyuv",
    "libwebrtc",
    "speex-aec",
    "gsm-codec",
    "speex-codec",
    "ilbc-codec",
    "g7221-codec",
    "l16-codec",
    "opencore-amr",
    "silk",
    "opus",
    "bcg729",
    "lyra",
)
CONFIGURE = (
    "--prefix=/usr",
    "--enable-epoll",
    "--with-external-srtp",
    "--enable-libsamplerate",
    *(f"--disable-{feature}" for feature in WITHOUT),
)

# NDEBUG: an assertion that a strange message trips would end the whole bridge; the checks that
# matter return an error in either case.
HARDENING = ("-DNDEBUG", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong", "-fPIC")
PJSIP_FLAGS = ("-O2", *HARDENING)

PJSIP_DEFINES = (
    "-DPJ_AUTOCONF=1",
    f"-DPJ_IS_BIG_ENDIAN={int(sys.byteorder == 'big')}",
    f"-DPJ_IS_LITTLE_ENDIAN={int(sys.byteorder == 'little')}",
)
SECTIONS = ("-fvisibility=hidden", "-ffunction-sections", "-fdata-sections")
COMMON_CXX_FLAGS = ("-std=c++17", "-g0", *HARDENING, *SECTIONS, *PJSIP_DEFINES)
EXTENSION_FLAGS = (*COMMON_CXX_FLAGS, "-O2", "-Wall", "-Wextra", "-Werror")
# SWIG's 6 MB of wrappers take a minute at -O1 already, and are not worth more.
BINDING_FLAGS = (*COMMON_CXX_FLAGS, "-O1", "-w")

# No -threads: for the one thread that all of it runs in, letting go of the interpreter at each
# crossing is time lost. PJSIP's own thread for media's events calls nobody: CallCallbacks.
SWIG_FLAGS = ("-c++", "-python", "-w312")
# What PJSIP calls here is ours: extension/no_stream.cpp, local_interface.cpp, one_negotiation.cpp,
# bounded_reads.cpp, answered_invites.cpp.
WRAPPED = (
    "pjsua_aud_channel_update",
    "pj_getipinterface",
    "pjsip_inv_verify_request3",
    "pj_ioqueue_recvfrom",
    "pjsip_tsx_terminate_async2",
)
LINK_FLAGS = (
    "-shared",
    "-s",
    "-Wl,--gc-sections",
    "-Wl,--exclude-libs,ALL",
    "-Wl,-z,relro,-z,now",
    *(f"-Wl,--wrap={function}" for function in WRAPPED),
)

# In the order in which each needs those after it.
PJSIP_LIBRARIES = (
    "pjsua2",
    "pjsua",
    "pjsip-ua",
    "pjsip-simple",
    "pjsip",
    "pjmedia-codec",
    "pjmedia-videodev",
    "pjmedia-audiodev",
    "pjmedia",
    "pjnath",
    "pjlib-util",
    "pj",
)
SYSTEM_LIBRARIES = ("srtp2", "samplerate", "ssl", "crypto", "m", "pthread")

PJSIP_COMPONENTS = ("pjlib", "pjlib-util", "pjnath", "pjmedia", "pjsip")


def extension_sources() -> list[Path]:
    """Our C++ files beside the binding."""
    return sorted(EXTENSION.glob("*.cpp"))


def key(source_identity: str) -> str:
    """Names what a build depends on, PJSIP's own version aside, which the wheel's name has.

    Args:
        source_identity: Of a named source; empty for whatever the routes give.
    """
    digest = hashlib.sha256(repr(_settings(source_identity)).encode())
    for path in [CONFIG_SITE, *sorted(EXTENSION.iterdir())]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _settings(source_identity: str) -> tuple[object, ...]:
    # Modules that only run the steps are left out: a better message needs no new wheel.
    flags = (CONFIGURE, PJSIP_FLAGS, EXTENSION_FLAGS, BINDING_FLAGS, SWIG_FLAGS, LINK_FLAGS)
    return (source_identity, flags, sysconfig.get_config_var("EXT_SUFFIX"), _system())


def _system() -> tuple[str, ...]:
    """The libraries that the wheel links come with the system's release."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return platform.machine(), release.get("ID", ""), release.get("VERSION_ID", "")
