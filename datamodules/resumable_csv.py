"""A table made row by row, over minutes or hours, that survives being interrupted."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO


class ResumableCSV(AbstractContextManager["ResumableCSV"]):
    """A CSV file written as a whole at the end; until then its rows stand in a journal beside it.

    Each row is appended to ``<name>.journal`` as it comes, so that a process that is killed loses
    nothing but the row it was writing. ``finish`` replaces the file in one step and removes the
    journal. A row replaces an earlier one with the same key, which is the first column.

    Args:
        path: the file; its folder is made.
        columns: names of the columns.

    Raises:
        OSError: when the folder cannot be written to.
        ValueError: when the file is there and is not such a table.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = list(columns)
        self._journal_path = path.with_name(f"{path.name}.journal")
        self._journal: IO[str] | None = None

    def __enter__(self) -> "ResumableCSV":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.rows = self.load()
        # Anew, for the last line of an interrupted journal may be half a row.
        self._write_all(self._journal_path)
        self._journal = _open(self._journal_path, "a")
        return self

    def __exit__(self, *_: object) -> None:
        if self._journal is not None:
            self._journal.close()

    def load(self) -> dict[str, dict[str, str]]:
        """Return the rows there are, by key, those of the journal included."""
        return {row[self.columns[0]]: row for row in self._read()}

    def add(self, row: Mapping[str, object]) -> None:
        """Append a row, on its way to the disk when this returns."""
        if self._journal is None:
            raise RuntimeError(f"{self.path.name}: enter the context before adding rows")
        texts = {name: str(row[name]) for name in self.columns}
        self.rows[texts[self.columns[0]]] = texts
        self._journal.write(_line(list(texts.values())))
        self._journal.flush()

    def finish(self) -> None:
        """Write the file and remove the journal."""
        temporary = self.path.with_name(f".{self.path.name}.unfinished")
        self._write_all(temporary)
        temporary.replace(self.path)
        self._journal_path.unlink()

    def _read(self) -> Iterator[dict[str, str]]:
        if self.path.exists():
            yield from read_table(self.path, self.columns)
        if self._journal_path.exists():
            with _open(self._journal_path, "r") as file:
                whole = file.read().rpartition("\n")[0]
            for values in list(csv.reader(io.StringIO(whole)))[1:]:
                if len(values) == len(self.columns):
                    yield dict(zip(self.columns, values, strict=True))

    def _write_all(self, path: Path) -> None:
        with _open(path, "w") as file:
            file.write(_line(self.columns))
            for key in sorted(self.rows):
                file.write(_line(list(self.rows[key].values())))


def read_table(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Read a finished table, row by row.

    Raises:
        FileNotFoundError: when it is not there.
        ValueError: when it is damaged or has other columns.
    """
    remedy = "delete it and run `cmkd prepare` again"
    with _open(path, "r") as file:
        rows = csv.reader(file, strict=True)
        try:
            if next(rows, None) != list(columns):
                raise ValueError(f"{path}: the columns are not {', '.join(columns)}; {remedy}")
            for values in rows:
                if len(values) != len(columns):
                    raise ValueError(f"{path}, line {rows.line_num}: not a whole row; {remedy}")
                yield dict(zip(columns, values, strict=True))
        except csv.Error as error:
            raise ValueError(f"{path}, line {rows.line_num}: {error}; {remedy}") from error


def _open(path: Path, mode: str) -> IO[str]:
    # Names of files may hold bytes that are no text; they have to come back as they were.
    return path.open(mode, encoding="utf-8", errors="surrogateescape", newline="")


def _line(values: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()
