"""The command line, `ctinvariance`: exit code 0 done, 2 an error (one line says what), 130 cancelled."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from ..base import Cancelled, in_words, printable
from ..config import DOMAINS, PRESETS, Question
from .console import complain, take_any_text

BAD_INPUT, CANCELLED = 2, 130
TRACEBACK = "CTINVARIANCE_TRACEBACK"
_LONGEST_SEED = 18  # digits of what 64 bits hold
_FAULT = f"This looks like a fault of the program; with {TRACEBACK}=1 in the environment it says more."
_PACKAGE = __name__.partition(".")[0]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, like every other error."""
        self.exit(BAD_INPUT, f"error: {printable(message)}. Try `{self.prog} --help`.\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    code = _main(arguments)
    _leave_the_others(code)
    return code


def _leave_the_others(code: int) -> None:
    """End at once where this is one of several processes: tidying up, gloo may abort where others have gone already."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _main(arguments: Sequence[str] | None) -> int:
    warnings.showwarning = _show_warning
    take_any_text()
    # Threads that spin long while they wait slow torch down tenfold as soon as another program wants a core.
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    options = _parser().parse_args(arguments)
    try:
        with _terminated_as_interrupted():
            return _run(options)
    except (KeyboardInterrupt, Cancelled):
        complain("cancelled; what was finished is kept")
        return CANCELLED
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # whatever it is: people get a line that says what to do
        if os.environ.get(TRACEBACK):
            raise
        what, hint = in_words(error, fault=_FAULT)
        line = f"{what}. {hint}" if hint else what
        with suppress(OSError):  # standard error may be a file on the disk that is full
            complain(f"error: {' '.join(line.split())}")
        return BAD_INPUT
    return 0


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """`kill`, as a batch system does it, ends a command as Ctrl-C does: what is unfinished is removed."""
    try:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not the main thread, which alone hears signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(options: argparse.Namespace) -> int:
    """One command, its exit code; it is imported here: nobody waits for numpy who asks for help, or for a worker."""
    if options.command == "worker":
        from ..worker import serve, train_alone

        if options.training:
            return train_alone(Path(options.training))
        serve(scratch=options.scratch, device=options.device)
    from .commands import COMMANDS

    return COMMANDS[options.command](options) or 0


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Our own warnings as one line; those of libraries are not for the person at the terminal."""
    if category.__module__.startswith(_PACKAGE) or category is UserWarning:
        complain(f"warning: {' '.join(str(message).split())}")


def _path(text: str) -> str:
    """An argument that names a file or folder."""
    if not text.strip():  # what a shell makes of a variable that is not set
        raise argparse.ArgumentTypeError("it is empty; the current folder is called .")
    if "\0" in text:
        raise argparse.ArgumentTypeError("no path has the character 0")
    return text


def _seed(text: str) -> int:
    """An argument that begins a sequence of random numbers."""
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_SEED):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no whole number from 0 with up to {_LONGEST_SEED} digits"
        )
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ctinvariance", description="Shows what a CT denoising network ignores.")
    parser.add_argument("--version", action="version", version=f"ctinvariance {__version__}")
    sub = parser.add_subparsers(dest="command", required=True, metavar="command")

    pairs = sub.add_parser("pairs", help="list patients, series and low/full-dose pairs")
    pairs.add_argument(
        "source", type=_path, nargs="+", help="folders of DICOM or volume files, Slicer's DICOM database"
    )
    pairs.add_argument("--json", action="store_true", help="for machines")
    pairs.add_argument("--seed", type=_seed, default=0, help="of the split that is shown (0)")

    _add_store(sub)

    simulate = sub.add_parser("simulate", help="low dose from full dose")
    simulate.add_argument("volume", type=_path)
    simulate.add_argument("--dose", type=float, default=0.25, help="fraction of the original dose (0.25)")
    simulate.add_argument("--seed", type=_seed, default=0)
    simulate.add_argument("--out", type=_path, required=True, help="file to write: .nrrd .nii.gz .mha")
    _add_overwrite(simulate)

    _add_phantom(sub)

    train = sub.add_parser("train", help="train denoisers, embeddings and flows")
    train.add_argument(
        "--preset", choices=PRESETS, default=None, help="quick: minutes on a CPU; standard: half a day"
    )
    train.add_argument("--config", type=_path, help="TOML or JSON, on top of the preset")
    train.add_argument(
        "--data", type=_path, required=True, help="folder of DICOM or volume files, Slicer's DICOM database"
    )
    train.add_argument("--out", type=_path, required=True, help="folder of the model set")
    train.add_argument("--resume", action="store_true", help="go on with the run in that folder")
    train.add_argument(
        "--allow-download",
        action="store_true",
        help="fetch VGG19's published weights (548 MB) where the configuration says so; nothing else ever is",
    )
    _add_store_folder(train)

    denoise = sub.add_parser("denoise", help="denoise a volume")
    denoise.add_argument("volume", type=_path)
    _add_models(denoise)
    denoise.add_argument("--out", type=_path, required=True, help="file to write: .nrrd .nii.gz .mha")
    _add_overwrite(denoise)

    _add_sample(sub)

    evaluate = sub.add_parser("evaluate", help="measure denoisers, embeddings and layers on unseen patients")
    evaluate.add_argument("--models", type=_path, required=True)
    evaluate.add_argument("--data", type=_path, required=True)
    evaluate.add_argument("--out", type=_path, required=True, help="folder to write")
    evaluate.add_argument(
        "--patches",
        type=int,
        default=2,
        help="that the samples of every layer are judged on, one patient's after the other's (2)",
    )
    _add_overwrite(evaluate)
    _add_store_folder(evaluate)

    models = sub.add_parser("models", help="what model sets there are")
    models.add_argument("action", choices=("list", "show", "delete"))
    models.add_argument(
        "folder", type=_path, help="list: a folder of model sets; show, delete: one model set"
    )

    demo = sub.add_parser("demo", help="the whole method on phantoms, from nothing, in minutes")
    demo.add_argument("--out", type=_path, default="demo")
    demo.add_argument("--fresh", action="store_true", help="start over instead of going on")

    worker = sub.add_parser("worker", help="the process behind the panel: JSON lines in and out")
    worker.add_argument(
        "--scratch", type=_path, metavar="FOLDER", help="the panel's, with its mark; removed at the end"
    )
    worker.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    worker.add_argument(
        "--training",
        type=_path,
        metavar="FOLDER",
        help="instead, train what the request in this folder asks for",
    )
    return parser


def _add_store(sub: Any) -> None:
    store: argparse.ArgumentParser = sub.add_parser(
        "store", help="series converted for training: build, list, delete"
    )
    store.add_argument("action", choices=("build", "list", "delete"))
    store.add_argument("what", type=_path, nargs="*", help="build: a source, as for pairs; delete: patients")
    store.add_argument("--all", action="store_true", help="delete everything")
    store.add_argument("--dose", type=float, default=0.25, help="build: of simulated low dose (0.25)")
    store.add_argument(
        "--seed", type=_seed, default=0, help="build: of its noise, as of the training run (0)"
    )
    _add_store_folder(store)


def _add_store_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", type=_path, metavar="FOLDER", help="of converted series (the user's cache)"
    )


def _add_phantom(sub: Any) -> None:
    phantom: argparse.ArgumentParser = sub.add_parser(
        "phantom", help="write a data set of phantoms, DICOM pairs with known truth"
    )
    phantom.add_argument("--patients", type=int, default=6, help="(6)")
    phantom.add_argument("--slices", type=int, default=4, help="of each patient, 3 mm apart (4)")
    phantom.add_argument("--size", type=int, default=256, metavar="PIXELS", help="rows and columns (256)")
    phantom.add_argument("--pixel-mm", type=float, default=1.5, metavar="MM", help="side of a pixel (1.5)")
    phantom.add_argument(
        "--dose", type=float, default=0.25, help="low dose as a fraction of full dose (0.25)"
    )
    phantom.add_argument(
        "--kind", nargs="+", metavar="KIND", help="chest, abdomen, head; several in turn (all three)"
    )
    phantom.add_argument(
        "--seed", type=_seed, default=0, help="of the first patient, the next has one more (0)"
    )
    phantom.add_argument("--out", type=_path, required=True, help="folder to write")
    _add_overwrite(phantom)


def _add_sample(sub: Any) -> None:
    sample: argparse.ArgumentParser = sub.add_parser(
        "sample", help="sample images that a layer cannot tell apart"
    )
    sample.add_argument("volume", type=_path, nargs="?", help="or --data")
    sample.add_argument(
        "--data",
        type=_path,
        metavar="SOURCE",
        help="instead of a volume: all patients of a source, as for pairs; a folder for each patient and slice",
    )
    _add_models(sample)
    sample.add_argument("--layer", required=True)
    sample.add_argument("--domain", choices=DOMAINS, default=Question.domain)
    sample.add_argument("--slice", type=int, default=None, help="index of the (first) slice (the middle)")
    sample.add_argument("--slices", type=int, default=1, metavar="COUNT", help="a slab of so many slices (1)")
    sample.add_argument(
        "--center", type=int, nargs=2, metavar=("ROW", "COLUMN"), help="of the patch (image centre)"
    )
    sample.add_argument(
        "--size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="sides of the patch, or ROWS COLUMNS (what the models were trained on); not for vector embeddings",
    )
    sample.add_argument("--whole", action="store_true", help="whole slices; not for vector embeddings")
    sample.add_argument(
        "--tile", type=int, metavar="PIXELS", help="work in tiles, where memory is short; same result"
    )
    sample.add_argument("-n", type=int, default=Question.n, help=f"number of samples ({Question.n})")
    sample.add_argument("--seed", type=_seed, default=Question.seed)
    sample.add_argument(
        "--tolerance",
        type=float,
        default=Question.tolerance,
        metavar="RESCANS",
        help="at 1 the layer tells the samples apart no better than two full-dose scans of the same patient "
        f"({Question.tolerance:g})",
    )
    sample.add_argument(
        "--without-flow",
        action="store_true",
        help="draw from a Gaussian instead of the flow: ten times as slow, for layers that no flow was trained for, "
        "or to compare; low dose only",
    )
    sample.add_argument(
        "--full-dose",
        type=_path,
        metavar="VOLUME",
        help="partner on the same grid: tells the noise, and the truth in that domain",
    )
    sample.add_argument("--out", type=_path, required=True, help="folder to write")
    _add_overwrite(sample)


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a result that is there already, never an input"
    )


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", type=_path, required=True, help="folder of a model set, made by train")
    parser.add_argument("--denoiser", required=True, help="chen, yang or another one of the model set")


if __name__ == "__main__":
    sys.exit(main())
