"""Nothing in a data file is executed, by any reader, and the error names the file."""

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest

from datamodules.feature_table import open_features
from datamodules.mosi import MOSI
from datamodules.stored import StoredFeatures
from datamodules.text_vectors import StoredText

ROOT = Path(__file__).parents[3]


PARTS = ("train", "valid", "test")


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


class Files:
    """Data files that hold a payload."""

    def __init__(self, folder):
        self.folder, self.trace = folder, folder / "executed"
        self.array = np.array([Payload(self.trace)], dtype=object)

    def npz(self, name="evil.npz"):
        names = ["features", "clip"]
        # As MOSI's files have them.
        names += [f"{array}_{part}" for array in ("text", "labels", "id") for part in PARTS]
        np.savez(self.folder / name, **dict.fromkeys(names, self.array))
        return self.folder / name

    def npy(self):
        np.save(self.folder / "evil.npy", self.array, allow_pickle=True)
        return self.folder / "evil.npy"

    def pickle(self, name):
        (self.folder / name).write_bytes(pickle.dumps(self.array))
        return self.folder / name


def array_of_an_archive(files):
    open_features(str(files.npz())).read("features")


def column_of_an_archive(files):
    open_features(str(files.npz())).read_column("clip")


def pickle_called_an_archive(files):
    open_features(str(files.pickle("evil.npz"))).read("features")


def array_beside_a_table(files):
    files.npy()
    (files.folder / "rows.csv").write_text("label\n0\n")
    open_features(str(files.folder / "rows.csv")).read("evil.npy")


def pickle_beside_a_table(files):
    files.pickle("evil.npy")
    (files.folder / "rows.csv").write_text("label\n0\n")
    open_features(str(files.folder / "rows.csv")).read("evil.npy")


def features_of_a_folder(files):
    StoredFeatures.of_folder(files.folder, [("a", files.npy())])


def pickle_in_a_folder(files):
    StoredFeatures.of_folder(files.folder, [("a", files.pickle("evil.npy"))])


def features_of_an_archive(files):
    StoredFeatures.of_npz(files.npz(), "features", "clip", str)


def text_of_an_archive(files):
    _ = StoredText({}, str(files.npz())).width


def mosi_of_an_archive(files):
    MOSI(str(files.npz()), ["text"], [])


def mosi_of_a_pickle(files):
    MOSI(str(files.pickle("evil.pkl")), ["text"], [])


@pytest.mark.parametrize(
    "read",
    [
        array_of_an_archive,
        column_of_an_archive,
        pickle_called_an_archive,
        array_beside_a_table,
        pickle_beside_a_table,
        features_of_a_folder,
        pickle_in_a_folder,
        features_of_an_archive,
        text_of_an_archive,
        mosi_of_an_archive,
        mosi_of_a_pickle,
    ],
)
def test_code_in_a_data_file_is_not_executed_and_the_file_is_named(tmp_path, read):
    files = Files(tmp_path)
    with pytest.raises(ValueError, match=r"evil\.(npz|npy|pkl)"):
        read(files)
    assert not files.trace.exists()


def test_the_payload_of_these_tests_does_work(tmp_path):
    files = Files(tmp_path)
    np.load(files.npy(), allow_pickle=True)
    assert files.trace.exists()


#: Functions that run what they read, and those that do so without an argument.
FORBIDDEN = {
    "eval",
    "exec",
    "pickle.load",
    "pickle.loads",
    "marshal.load",
    "shelve.open",
    "joblib.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "torch.hub.load",
    "torch.jit.load",
}
ASKED = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}


def calls(tree):
    """Yield the name, the keywords and the line of each call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            keywords = {
                word.arg: word.value.value
                for word in node.keywords
                if isinstance(word.value, ast.Constant)
            }
            yield ast.unparse(node.func), keywords, node.lineno


def unsafe(source):
    """Return the lines of calls that could run what they read."""
    return [
        line
        for name, keywords, line in calls(ast.parse(source))
        if name in FORBIDDEN
        or (name in ASKED and keywords.get(ASKED[name][0]) is not ASKED[name][1])
    ]


@pytest.mark.parametrize("package", ["cmkd", "datamodules", "experiments"])
def test_no_source_file_reads_in_a_way_that_could_run_code(package):
    paths = list((ROOT / package).rglob("*.py"))
    assert paths
    found = {path.relative_to(ROOT): unsafe(path.read_text()) for path in paths}
    assert not {path: lines for path, lines in found.items() if lines}


@pytest.mark.parametrize(
    "source",
    ["torch.load(path)", "torch.load(path, weights_only=False)", "np.load(path)", "eval(text)"],
)
def test_a_source_file_that_does_is_found(source):
    assert unsafe(source) == [1]
