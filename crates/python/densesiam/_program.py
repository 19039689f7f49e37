"""Starts the program with the libraries of the torch that is installed here."""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

#: What was built with; another torch has another interface.
TORCH = "2.11.0"


class Error(RuntimeError):
    """What the program says when it fails; `code` is its exit code."""

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


def _command(arguments):
    program = Path(__file__).parent / "bin" / "densesiam"
    if not program.exists():
        raise Error(f"{program} is missing: this package was not built by `make wheel`", 1)
    return [str(program), *arguments]


def _environment():
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


def main():
    """The program, in the place of this process: signals and exit codes are its own."""
    try:
        command, environment = _command(sys.argv[1:]), _environment()
    except Error as error:
        sys.exit(f"error: {error}")
    os.execve(command[0], ["densesiam", *command[1:]], environment)


def run_program(*arguments, quiet=False):
    """Runs the program with these arguments, and returns what it prints for others to read (its standard output).

    Its progress and messages are shown unless `quiet`. Raises `Error` where it fails.
    """
    return run_with_messages(arguments, quiet)[0]


def run_with_messages(arguments, quiet):
    """As `run_program`, with the lines of its messages beside what it prints."""
    command = _command([str(argument) for argument in arguments])
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    with subprocess.Popen(command, env=_environment(), **pipes) as child:
        messages = []

        def listen():
            for line in child.stderr:
                messages.append(line.rstrip("\n"))
                if not quiet:
                    sys.stderr.write(line)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        # Ctrl-C reaches the program too, which saves its state and ends; `with` waits for that.
        printed = child.stdout.read()
        listener.join()
    if child.returncode:
        faults = [line.removeprefix("error: ") for line in messages if line.startswith("error: ")]
        raise Error("\n".join(faults or messages[-3:]), child.returncode)
    return printed, messages


def settings(tables):
    """`{"train": {"duration": "2 epochs"}}` as the program's `train.duration=2 epochs`."""

    def of(prefix, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from of(f"{prefix}.{key}" if prefix else key, inner)
        elif isinstance(value, str):
            yield f"{prefix}={value}"
        elif isinstance(value, os.PathLike):
            yield f"{prefix}={os.fspath(value)}"
        else:
            yield f"{prefix}={json.dumps(value)}"

    return list(of("", tables))
