"""``cmkd prepare``: check a dataset's files and splits before training, and write its media index.

It works with any LightningDataModule: how files are read, checked and cached is the datamodule's
business.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast, runtime_checkable

from lightning.pytorch import LightningDataModule

from cmkd.prepare_arguments import (
    choose_modalities,
    find_class,
    known_names,
    parse_arguments,
    read_configs,
)

_USAGE = """usage: cmkd prepare NAME [arguments of the datamodule]
       cmkd prepare --config EXPERIMENT.yaml [arguments of the datamodule]

Check a dataset's files and splits, write the index that training reads instead of opening every
file, and optionally a training cache. NAME is one of {names}, or a class path;
`cmkd prepare NAME --help` lists the arguments."""

Decode = Literal["ends", "all"]


@dataclass
class PrepareOptions:
    """What to prepare.

    Args:
        out: file of the index; by default it lies beside the data. Training is told of another
            place by the datamodule's ``index``.
        decode: what to decode of each file: the first and last frame and the first sound, or all.
        cache: folder of a training cache to write, too. Training is told of it by ``cache``.
        short_side: short side of the cache's frames, in pixels.
        threads: files worked on at once; by default as many as there are cores.
        student_modalities: by default the first that the datamodule offers.
        auxiliary_modalities: by default all others for which the arguments suffice.
    """

    out: str | None = None
    decode: Decode = "ends"
    cache: str | None = None
    short_side: int = 128
    threads: int | None = None
    student_modalities: list[str] | None = None
    auxiliary_modalities: list[str] | None = None


class IndexReport(Protocol):
    """What was written: where, of how many files, and which of them are broken and why."""

    path: Path
    files: int
    broken: Mapping[Path, str]


class CacheEstimate(Protocol):
    """What a cache will take: files to make, files made already, bytes, bytes free."""

    files: int
    done: int
    bytes: int
    free: int


class CacheWriter(Protocol):
    """Writes a training cache."""

    def estimate(self) -> CacheEstimate:
        """Reckon its size from parts of some files."""
        ...

    def write(self, threads: int | None = None) -> Mapping[Path, str]:
        """Write what is not there yet; return which files turned out to be broken and why."""
        ...


@runtime_checkable
class MediaData(Protocol):
    """A datamodule of media files.

    Its constructor takes ``index`` (a path, False for none), ``cache``, ``on_corrupt`` and
    ``auxiliary_at_test``.
    """

    def media_files(self) -> Sequence[Path]:
        """Return the files."""
        ...

    def write_index(
        self, path: Path | None = None, decode: Decode = "ends", threads: int | None = None
    ) -> IndexReport:
        """Check the files and write the index."""
        ...

    def cache_writer(self, folder: Path, short_side: int = 128) -> CacheWriter:
        """Return what writes the cache."""
        ...


def main(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the command line behind ``prepare``.

    Raises:
        SystemExit: with a message, for whatever stops it.
    """
    try:
        _run(list(args))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on where this one stopped", file=sys.stderr)
        raise SystemExit(130) from None
    except (ValueError, OSError) as error:
        raise SystemExit(f"cmkd prepare: error: {error}") from None


def _run(args: list[str]) -> None:
    name = args.pop(0) if args and not args[0].startswith("-") else None
    configs, args = _take_configs(args)
    configured, given = read_configs(configs)
    name = name or configured
    if name is None:
        print(_USAGE.format(names=", ".join(known_names())))
        raise SystemExit(0 if {"-h", "--help"} & set(args) else 2)
    data_class = find_class(name)
    parsed, arguments = parse_arguments(name, data_class, PrepareOptions, given, args)
    options = PrepareOptions(**parsed)
    has_media = issubclass(data_class, MediaData)
    if options.cache is not None and not has_media:
        raise ValueError(f"cache: {data_class.__name__} has no media files")
    if has_media:
        arguments |= {"index": False, "on_corrupt": "skip", "auxiliary_at_test": True}
    sides, left_out = choose_modalities(
        data_class, arguments, options.student_modalities, options.auxiliary_modalities
    )
    for modality, reason in left_out.items():
        print(f"left out: {modality} ({reason})")
    _prepare(data_class, arguments | sides, options, has_media)


def _prepare(
    data_class: type[LightningDataModule],
    arguments: dict[str, Any],
    options: PrepareOptions,
    has_media: bool,
) -> None:
    data = data_class(**arguments)
    data.prepare_data()
    if has_media and cast("MediaData", data).media_files():
        out = None if options.out is None else Path(options.out)
        try:
            report = cast("MediaData", data).write_index(out, options.decode, options.threads)
        except OSError as error:
            raise ValueError(
                f"the index cannot be written: {error}; name a file for it with --out"
            ) from error
        _print_index(report, told=out is not None)
        data = data_class(**arguments | {"index": str(report.path)})
    describe = getattr(data, "describe", None)
    facts = describe() if describe else ["it does not describe itself"]
    print("\n  ".join([f"\n{data_class.__name__}:", *facts]))
    if options.cache is not None:
        folder = Path(options.cache)
        writer = cast("MediaData", data).cache_writer(folder, options.short_side)
        _write_cache(writer, folder, options.threads)


def _take_configs(args: list[str]) -> tuple[list[str], list[str]]:
    configs, rest = [], []
    remaining = iter(args)
    for arg in remaining:
        if arg == "--config":
            path = next(remaining, None)
            if path is None:
                raise ValueError("--config: give a file")
            configs.append(path)
        elif arg.startswith("--config="):
            configs.append(arg.removeprefix("--config="))
        else:
            rest.append(arg)
    return configs, rest


def _print_index(report: IndexReport, told: bool) -> None:
    print(f"{report.files - len(report.broken)} of {report.files} files are whole: {report.path}")
    if told:
        print(f"train with --data.init_args.index {report.path}")
    if report.broken:
        _print_broken(report.broken)


def _print_broken(broken: Mapping[Path, str]) -> None:
    print(f"{len(broken)} files are broken:")
    for path, reason in broken.items():
        print(f"  {path}: {reason}")  # a line each, whatever the terminal's width


def _write_cache(writer: CacheWriter, folder: Path, threads: int | None) -> None:
    estimate = writer.estimate()
    print(
        f"\ncache {folder}: {estimate.done} files are there, {estimate.files} are to be made, "
        f"about {estimate.bytes / 1e9:.2f} GB; {estimate.free / 1e9:.1f} GB are free"
    )
    if estimate.bytes > estimate.free:
        raise ValueError(
            f"cache: {folder} has no room for it; choose another disk or a smaller --short_side"
        )
    broken = writer.write(threads)
    if broken:
        _print_broken(broken)
    print(f"train with --data.init_args.cache {folder}")
