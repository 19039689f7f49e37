"""Starts the program with the libraries of the torch that is installed here."""

import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

#: What was built with; another torch has another interface.
TORCH = "2.11.0"


#: What a shell would have as a word: a text or a path.
Argument: TypeAlias = "str | os.PathLike[str]"


class Error(RuntimeError):
    """What the program says when it fails; `code` is its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def _command(arguments: list[str]) -> list[str]:
    program = Path(__file__).parent / "bin" / "densesiam"
    if not program.exists():
        raise Error(f"{program} is missing: this package was not built by `make wheel`", 1)
    return [str(program), *arguments]


def _environment() -> dict[str, str]:
    """The environment in which the program finds torch's libraries, without importing torch."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        raise Error(f"torch is not installed; densesiam needs torch {TORCH}: pip install torch=={TORCH}", 1)
    version = importlib.metadata.version("torch").split("+")[0]
    if version != TORCH:
        raise Error(f"torch {version} is installed; densesiam was built with {TORCH}: pip install torch=={TORCH}", 1)
    libraries = Path(found.origin).parent / "lib"
    others = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": str(libraries) if not others else f"{libraries}:{others}"}


def main() -> None:
    """The program, in the place of this process: signals and exit codes are its own."""
    try:
        command, environment = _command(sys.argv[1:]), _environment()
    except Error as error:
        sys.exit(f"error: {error}")
    os.execve(command[0], ["densesiam", *command[1:]], environment)


def run_program(*arguments: Argument, quiet: bool = False) -> str:
    """Runs the program with these arguments, and returns what it prints for others to read (its standard output).

    Its progress and messages are shown unless `quiet`. Raises `Error` where it fails.
    """
    return run_with_messages(list(arguments), quiet)[0]


def run_with_messages(arguments: list[Argument], quiet: bool) -> tuple[str, list[str]]:
    """As `run_program`, with the lines of its messages beside what it prints."""
    command = _command([os.fspath(argument) for argument in arguments])
    # In a session of its own, so that an interrupt comes to it once, from here, also where there is no terminal.
    child = subprocess.Popen(
        command,
        env=_environment(),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
    )
    assert child.stdout is not None and child.stderr is not None
    answers, said = child.stdout, child.stderr
    printed: list[str] = []
    messages: list[str] = []

    def listen() -> None:
        with said:
            for line in said:
                messages.append(line.rstrip("\n"))
                if not quiet:
                    print(line, end="", file=sys.stderr, flush=True)

    def collect() -> None:
        with answers:
            printed.append(answers.read())

    listeners = [threading.Thread(target=work, daemon=True) for work in (listen, collect)]
    for listener in listeners:
        listener.start()
    try:
        child.wait()
    except KeyboardInterrupt:
        # It saves its state and ends; a second interrupt does not wait for that.
        child.send_signal(signal.SIGINT)
        try:
            child.wait()
        except KeyboardInterrupt:
            child.kill()
        raise
    finally:
        for listener in listeners:
            listener.join()
    if child.returncode:
        faults = [line.removeprefix("error: ") for line in messages if line.startswith("error: ")]
        raise Error("\n".join(faults or messages[-3:]), child.returncode)
    return "".join(printed), messages


def settings(tables: Mapping[str, Any]) -> list[str]:
    """`{"train": {"duration": "2 epochs"}}` as the program's `train.duration=2 epochs`."""

    def of(key: str, value: Any) -> Iterator[str]:
        if isinstance(value, Mapping):
            for inner, setting in value.items():
                # `global` is a word of Python.
                inner = inner.removesuffix("_")
                yield from of(f"{key}.{inner}" if key else inner, setting)
        elif isinstance(value, (str, os.PathLike)):
            yield f"{key}={os.fspath(value)}"
        elif value is None:
            raise Error(f"{key} is None: leave it out, or give the value that `densesiam keys {key}` names", 2)
        else:
            yield f"{key}={json.dumps(value, ensure_ascii=False, default=plain)}"

    def plain(value: Any) -> Any:
        return os.fspath(value) if isinstance(value, os.PathLike) else value.item()

    return list(of("", tables))
