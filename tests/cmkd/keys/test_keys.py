"""What every config key means, from the code's own docstrings."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from cmkd.keys.catalogue import Catalogue, targets
from cmkd.keys.command import main
from cmkd.keys.key import keys_of
from cmkd.keys.lookup import look_up
from cmkd.keys.page import markdown
from cmkd.keys.wording import default_text, type_text
from cmkd.main import main as cmkd
from cmkd.networks import Encoder
from cmkd.objectives import InfoNCE, Objective
from cmkd.terms import Term
from datamodules import MOSI, UCF101, CrossModalDataModule
from tests.test_experiments import BASES, EXPERIMENTS, METHODS, RETRIEVAL

PAGE = EXPERIMENTS / "KEYS.md"


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue()


@pytest.fixture
def made_once(catalogue, monkeypatch):
    monkeypatch.setattr("cmkd.keys.command.Catalogue", lambda: catalogue)


class Documented:
    """Has a documented argument and another one.

    Args:
        known: what it is for, by ``name``.
    """

    def __init__(self, known: int, unknown: int = 3) -> None: ...


class PassesOn(Documented):
    """Fixes one argument of its base.

    Args:
        more: of its own.
    """

    def __init__(self, more: bool, **kwargs: Any) -> None:
        super().__init__(known=2, **kwargs)


@dataclass
class Group:
    """A group of keys.

    Attributes:
        names: some.
    """

    names: list[str] = field(default_factory=lambda: ["a", "b"])


def test_the_page_is_in_step_with_the_code(catalogue):
    assert PAGE.read_text(encoding="utf-8") == markdown(catalogue), "run `make keys`"


def test_every_key_of_every_class_has_a_description(catalogue):
    without = [
        f"{entry.path}.{key.name}"
        for entry in catalogue.entries()
        for key in entry.keys
        if not key.description
    ]
    assert not without


def test_every_class_says_what_it_is(catalogue):
    assert not [entry.path for entry in catalogue.entries() if not entry.cls.__doc__]


def test_a_key_without_a_description_is_told_from_one_that_has_it():
    described = {key.name: key.description for key in keys_of(Documented)}
    assert described == {"known": "what it is for, by `name`.", "unknown": ""}


def test_what_a_class_fixes_of_its_base_is_no_key_of_it():
    keys = {key.name: key for key in keys_of(PassesOn)}
    assert list(keys) == ["more", "unknown"]
    assert keys["unknown"].owner is Documented
    assert keys["unknown"].default == "3"


def test_keys_that_a_datamodule_passes_on_to_its_bases_are_its_keys():
    keys = {key.name: key for key in keys_of(UCF101)}
    assert {"list_folder", "frames", "batch_size"} <= keys.keys()
    assert keys["batch_size"].owner is CrossModalDataModule
    assert keys["root"].default is None
    assert "split" not in {key.name for key in keys_of(MOSI)}


def test_the_fields_of_a_dataclass_are_keys_with_the_defaults_that_their_factories_make():
    (key,) = keys_of(Group)
    assert (key.name, key.type, key.default) == ("names", "list of str", "[a, b]")


def test_what_the_library_gives_is_no_key(catalogue):
    names = [key.name for key in keys_of(InfoNCE, given=1)]
    assert names[:3] == ["source", "target", "dim"]
    assert all("sizes" not in {key.name for key in entry.keys} for entry in catalogue.entries())


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int | None, "int or null"),
        (dict[str, float], "float by name"),
        (Mapping[str, int | None], "(int or null) by name"),
        (tuple[int, float], "[int, float]"),
        (tuple[str, ...], "list of str"),
        (list[int | str], "list of (int or str)"),
        (Literal["a", "b"], "`a` or `b`"),
        (Callable[[int], Encoder], "Encoder"),
        (Path, "path"),
    ],
)
def test_types_are_put_into_words(annotation, text):
    assert type_text(annotation) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (False, "false"),
        ("", '""'),
        (1e-5, "1e-05"),
        ((1, 2), "[1, 2]"),
        ({"a": None}, "{a: null}"),
        (partial(Encoder), "Encoder"),
    ],
)
def test_defaults_are_written_as_yaml_has_them(value, text):
    assert default_text(value) == text


def test_types_lead_to_the_classes_that_a_value_can_be():
    assert list(targets(dict[str, Term | None] | None)) == [(Term, 0)]
    assert list(targets(Callable[[int], Objective])) == [(Objective, 1)]
    assert list(targets(list[int] | str)) == []


def paths_in(config, prefix=""):
    """Yield the dotted path of every value of a config, as a command line would have it."""
    for name, value in config.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            yield from paths_in(value, f"{path}.")
        else:
            yield path


@pytest.mark.parametrize("config", [*BASES, *METHODS, RETRIEVAL], ids=lambda path: path.stem)
def test_every_key_that_the_experiments_use_is_explained(catalogue, config):
    content = yaml.safe_load(config.read_text())
    foreign = ("model.optimizer.", "model.critic_optimizer.", "seed_everything")
    paths = [path for path in paths_in(content) if not path.startswith(foreign)]
    assert paths
    for path in paths:
        if path != "data.class_path":
            assert all(key.description for one in look_up(catalogue, path) for key in one.keys)


@pytest.mark.parametrize(
    ("name", "where", "key"),
    [
        ("model.teacher_epochs", "model", "teacher_epochs"),
        ("run.wandb", "run", "wandb"),
        ("trainer.max_epochs", "trainer", "max_epochs"),
        ("model.student_terms.kd.weight", "cmkd.terms.Term", "weight"),
        ("data.init_args.batch_size", "datamodules.CrossModalDataModule", "batch_size"),
        ("noise_dim", "cmkd.objectives.AdversarialConditionalEntropy", "noise_dim"),
    ],
)
def test_a_key_is_found_by_its_path_or_name(catalogue, name, where, key):
    answers = look_up(catalogue, name)
    assert [(answer.where, answer.keys[0].name) for answer in answers] == [(where, key)]


@pytest.mark.parametrize(
    "name", ["KnowledgeDistillation", "CategoricalConditionalEntropy", "cmkd.objectives.InfoNCE"]
)
def test_a_class_is_found_by_each_of_its_names(catalogue, name):
    (answer,) = look_up(catalogue, name)
    assert {"source", "target", "temperature"} <= {key.name for key in answer.keys}


def test_a_name_that_many_classes_have_is_explained_for_each(catalogue):
    answers = look_up(catalogue, "temperature")
    assert len(answers) > 5
    assert len({answer.keys[0].owner for answer in answers}) == len(answers)


def test_a_class_of_the_users_own_is_found_by_its_import_path(catalogue):
    (answer,) = look_up(catalogue, f"{__name__}.Documented")
    assert [key.name for key in answer.keys] == ["known", "unknown"]


@pytest.mark.parametrize("name", ["model.teacher_epoch", "model.student_terms.kd.wieght", "InfoNC"])
def test_a_misspelled_name_is_refused_with_the_nearest_one(catalogue, name):
    with pytest.raises(ValueError, match=r"did you mean .*(teacher_epochs|weight|InfoNCE)"):
        look_up(catalogue, name)


def test_the_command_prints_a_key(made_once, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cmkd", "keys", "model.teacher_epochs"])
    cmkd()
    printed = capsys.readouterr().out
    assert printed.startswith("model.teacher_epochs: int, default 0\n    length of")


def test_the_command_prints_a_class_with_all_its_keys(made_once, capsys):
    main(["InfoNCE"])
    printed = capsys.readouterr().out
    assert "mutual information" in printed
    for key in keys_of(InfoNCE, given=1):
        assert f"\n{key.name}: {key.type}" in printed


def test_the_command_lists_all_that_a_config_can_name(made_once, catalogue, capsys):
    main([])
    printed = capsys.readouterr().out
    assert all(entry.path in printed for kind in catalogue.kinds for entry in kind.entries)


def test_the_command_stops_with_a_line_for_an_unknown_name(made_once):
    with pytest.raises(SystemExit, match="there is no key or class 'nothing_like_it'"):
        main(["nothing_like_it"])


def test_the_command_writes_the_page(made_once, tmp_path):
    main(["--write", str(tmp_path / "keys.md")])
    assert (tmp_path / "keys.md").read_text().startswith("# Config keys\n")
