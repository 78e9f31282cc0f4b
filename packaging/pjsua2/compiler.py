"""From a source tree of PJSIP to the two files of the module pjsua2.

Owns the steps: configure, make, swig, compile, link, and a trial import. Must not know of the
cache nor of wheels.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import recipe
from progress import Progress, SetupError

# Debian's archive leaves out a file which this Makefile names.
_ABSENT_OBJECT = " bdimad_dev.o"
_ABSENT_SOURCE = "pjmedia/src/pjmedia-audiodev/bdimad_dev.c"

_TRIAL = "import pjsua2; assert pjsua2.BuildLimits.get().ioqueue.startswith('epoll')"


@dataclass(frozen=True, slots=True)
class Build:
    """A build under way: `tree` is PJSIP's source, `output` a folder beside it."""

    tree: Path
    output: Path
    progress: Progress

    @property
    def module_folder(self) -> Path:
        """Holds nothing but the finished module."""
        return self.output / "module"


def version(tree: Path) -> tuple[int, ...]:
    """The version of a source tree.

    Raises:
        SetupError: The folder is no source of PJSIP.
    """
    try:
        text = (tree / "version.mak").read_text()
    except FileNotFoundError as error:
        raise SetupError("this is no source of pjproject: it has no version.mak") from error
    parts = (_make_variable(text, f"PJ_VERSION_{part}") for part in ("MAJOR", "MINOR", "REV"))
    return tuple(int(part) for part in parts if part)


def compile_module(build: Build) -> Path:
    """Runs all steps and returns the folder with pjsua2.py and its binary part.

    Raises:
        SetupError: A step failed; the text names its log.
    """
    build.module_folder.mkdir(parents=True)
    _configure(build)
    with ThreadPoolExecutor() as pool:
        steps = [pool.submit(step, build) for step in (_make, _compile_binding, _compile_ours)]
    for step in steps:
        step.result()
    _link(build)
    _try(build)
    return build.module_folder


def jobs() -> int:
    """How many compilers run at once: one for each CPU that this process may use."""
    return len(os.sched_getaffinity(0))


def _make_variable(text: str, name: str) -> str:
    found = re.search(rf"^export {name}\s*:=[ \t]*(\S*)", text, re.MULTILINE)
    if found is None:
        raise SetupError(f"PJSIP's make files do not set {name}")
    return found[1]


def _configure(build: Build) -> None:
    makefile = build.tree / "pjmedia/build/Makefile"
    if not (build.tree / _ABSENT_SOURCE).exists():
        makefile.write_text(makefile.read_text().replace(_ABSENT_OBJECT, ""))
    shutil.copy(recipe.CONFIG_SITE, build.tree / "pjlib/include/pj/config_site.h")
    for component in [*recipe.PJSIP_COMPONENTS, "third_party"]:
        (build.tree / component / "lib").mkdir(exist_ok=True)
    flags = " ".join(recipe.PJSIP_FLAGS)
    build.progress.run(
        "configure PJSIP",
        ["./configure", *recipe.CONFIGURE],
        cwd=build.tree,
        environment={**os.environ, "CFLAGS": flags, "CXXFLAGS": flags},
    )


def _make(build: Build) -> None:
    # As part of our own make run, MAKEFLAGS would hand down a job server that is not there.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    # The binding is one long compilation beside this one, and the last to end: it goes first.
    command = ["nice", "-n3", "make", f"-j{jobs()}", "lib"]
    build.progress.run("compile PJSIP", command, cwd=build.tree, environment=environment)


def _compile_binding(build: Build) -> None:
    wrapper = build.output / "pjsua2_wrap.cpp"
    includes = [*_pjsip_includes(build), f"-I{build.tree}/pjsip-apps/src/swig", *_our_include()]
    swig = ["swig", *recipe.SWIG_FLAGS, *includes, "-o", wrapper, recipe.EXTENSION / "bridge.i"]
    build.progress.run("generate the binding", swig)
    flags = [*recipe.BINDING_FLAGS, *includes, f"-I{sysconfig.get_path('include')}"]
    compiler = ["g++", *flags, "-c", wrapper, "-o", build.output / "binding.o"]
    build.progress.run("compile the binding", compiler)


def _compile_ours(build: Build) -> None:
    # Upstream's headers are system headers here, so that warnings are about our files alone.
    quiet = [option.replace("-I", "-isystem", 1) for option in _pjsip_includes(build)]
    for path in recipe.extension_sources():
        target = build.output / f"{path.stem}.o"
        flags = [*recipe.EXTENSION_FLAGS, *quiet, *_our_include()]
        compiler = ["g++", *flags, "-c", path.name, "-o", target]
        build.progress.run(f"compile {path.stem}", compiler, cwd=recipe.EXTENSION)


def _link(build: Build) -> None:
    text = (build.tree / "build.mak").read_text()
    target = _make_variable(text, "TARGET_NAME")
    folders = [f"-L{build.tree}/{component}/lib" for component in recipe.PJSIP_COMPONENTS]
    ours = [f"-l{name}-{target}" for name in recipe.PJSIP_LIBRARIES]
    others = [f"-l{name}" for name in recipe.SYSTEM_LIBRARIES]
    binary = build.module_folder / f"_pjsua2{sysconfig.get_config_var('EXT_SUFFIX')}"
    objects = sorted(build.output.glob("*.o"))
    command = ["g++", *recipe.LINK_FLAGS, "-o", binary, *objects, *folders, *ours, *others]
    build.progress.run("link", command)
    shutil.copy(build.output / "pjsua2.py", build.module_folder)


def _try(build: Build) -> None:
    environment = {**os.environ, "PYTHONPATH": str(build.module_folder)}
    command = [sys.executable, "-B", "-W", "error", "-c", _TRIAL]
    build.progress.run("import it", command, cwd=build.output, environment=environment)


def _pjsip_includes(build: Build) -> list[str]:
    return [f"-I{build.tree}/{component}/include" for component in recipe.PJSIP_COMPONENTS]


def _our_include() -> list[str]:
    return [f"-I{recipe.EXTENSION}"]
