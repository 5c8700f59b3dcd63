"""The command `sbn`: chooses what to run, and prints what is wrong in one line.

Nothing here imports torch until a command needs it, so that `sbn --help` answers at once.
"""

import errno
import gc
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import NamedTuple

from sbn_lightning import __version__
from sbn_lightning.cli.configs import check_configs
from sbn_lightning.cli.help import asks_for_help, help_of
from sbn_lightning.cli.launcher import check_launcher
from sbn_lightning.cli.library_warnings import show_in_our_words
from sbn_lightning.cli.locate import with_place
from sbn_lightning.cli.overview import overview
from sbn_lightning.cli.signature import call
from sbn_lightning.errors import HOW_TO_INSTALL, UsageError, did_you_mean, out_of_memory, printable
from sbn_lightning.terminal import complain


class Command(NamedTuple):
    """A command: its function, as module:name, and what it does.

    The function gets what its signature describes (see `cli.signature`), and returns the exit code, or None for 0.
    """

    function: str
    text: str


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What a system says of a file that it has no room for, or may not write."""

STOPPED = 128 + signal.SIGINT
"""The exit code of a command that Ctrl-C has stopped."""
TRAINER = "cli.trainer"
COMMANDS = {
    "fit": Command(f"{TRAINER}:fit", "train, and write checkpoints, results and curves"),
    "validate": Command(f"{TRAINER}:validate", "evaluate a checkpoint on the held-out images"),
    "test": Command(f"{TRAINER}:test", "evaluate a checkpoint on the test set"),
    "predict": Command("deploy.prediction.command:predict", "tell the class of your photos, or of the test images"),
    "evaluate": Command("deploy.evaluation.command:evaluate", "show how good a trained model is, and its mistakes"),
    "prepare": Command("cli.prepare:prepare", "download and decode the images of a config once"),
    "reproduce": Command("reproduce.command:reproduce", "train and test many runs: a paper's table, or yours"),
    "report": Command("report.command:report", "make tables, intervals and figures from finished runs"),
    "export": Command("deploy.export.command:export", "turn a trained model into one file, such as ONNX"),
    "check-resume": Command("checkpointing.verify:check_resume", "prove that a killed training continues bit for bit"),
}
MEANT = {"train": "fit", "eval": "evaluate", "infer": "predict", "compare": "report", "help": "--help"}
"""{what other programs call a command: the command}."""
WITH_FIT_OPTIONS = ("fit", "validate", "test", "prepare")
"""The commands that take the options of `sbn fit` and no others."""


def run(arguments: Sequence[str]) -> None:
    """Carry out a command line, and exit with the command's code if that is not 0."""
    command = arguments[0] if arguments else "--help"
    if command in ("-h", "--help"):
        print(overview({name: text for name, (_, text) in COMMANDS.items()}))
    elif command == "--version":
        print(f"sbn {__version__}")
    elif command.startswith("-"):
        raise UsageError(f"the command comes first: sbn fit {' '.join(arguments)}")
    elif command not in COMMANDS:
        close = f", did you mean {MEANT[command]!r}?" if command in MEANT else did_you_mean(command, COMMANDS)
        raise UsageError(f"there is no command {command!r}{close} ({', '.join(COMMANDS)})")
    else:
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # for classes of the user's, in a module in this folder
        module, _, name = COMMANDS[command].function.partition(":")
        if module != TRAINER:  # whose commands may use several
            check_launcher(1, f"start one: sbn {command}")
        try:
            with ended_at_once_by_ctrl_c():
                if command in WITH_FIT_OPTIONS and asks_for_help(arguments):
                    print(help_of(command, COMMANDS[command].text, arguments[1:]))
                    return
                if command in WITH_FIT_OPTIONS:
                    check_configs(command, arguments[1:])
                let_threads_sleep()
                with no_garbage():
                    function = getattr(import_module(f"sbn_lightning.{module}"), name)
            show_in_our_words()  # after the imports: Lightning's sets how warnings are shown
        except ModuleNotFoundError as error:
            raise UsageError(f"{error}; {HOW_TO_INSTALL}") from error
        if code := call(command, function, arguments[1:]):
            raise SystemExit(code)


def let_threads_sleep() -> None:
    """Let a thread of torch that waits for others give up its core after 0.3 ms. Call it before torch is imported.

    This is a setting of GNU's OpenMP, which torch uses on Linux. By default, a waiting thread keeps its core busy for
    8 ms. If there are fewer free cores than threads, it may hold the core that the thread it waits for needs, and each
    operation of torch then takes that long. On a free machine no thread falls asleep within a step, since much less
    than 0.3 ms passes between two operations. Results do not depend on how threads wait.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():  # the user's own
        os.environ["GOMP_SPINCOUNT"] = "10000"


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point of `sbn`: prints in one line a UsageError, that memory is used up, or that Ctrl-C came, and exits
    with its code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be in no encoding
    try:
        run(arguments)
    except OSError as error:
        path = printable(str(error.filename or "a file"))
        if error.errno == errno.ENAMETOOLONG:
            text = f"the path {path[:60]}… of {len(path):,} characters is too long for this system"
        elif error.errno in NO_ROOM:
            text = f"{path} cannot be written ({error.strerror}); make room, or choose another folder"
        else:
            raise
        complain(text)
        raise SystemExit(UsageError.exit_code) from None
    except (UsageError, MemoryError, RuntimeError) as error:
        told = error if isinstance(error, UsageError) else out_of_memory(error)
        if told is None:
            raise
        complain(printable(" ".join(with_place(told, arguments).split())))
        raise SystemExit(told.exit_code) from None
    except KeyboardInterrupt:
        say_stopped()
        raise SystemExit(STOPPED) from None


@contextmanager
def ended_at_once_by_ctrl_c() -> Iterator[None]:
    """End the process at Ctrl-C where it is, which is right while it only imports: a library may take a
    KeyboardInterrupt in the middle of its import for a failure of another kind."""

    def end(number: int, frame: object) -> None:
        say_stopped()
        sys.stderr.flush()
        os._exit(STOPPED)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not of a job in the background, which ignores it
        signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def no_garbage() -> Iterator[None]:
    """Import without Python's search for garbage: imports leave none, and the search takes a fifth of their time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def say_stopped() -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":  # one line, of all processes of a training
        print("sbn: stopped by Ctrl-C", file=sys.stderr)  # nothing may be imported here
