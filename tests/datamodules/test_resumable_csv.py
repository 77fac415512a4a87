import pytest

from datamodules.resumable_csv import ResumableCSV, read_table

COLUMNS = ["file", "size"]


def rows(path):
    return {row["file"]: row["size"] for row in read_table(path, COLUMNS)}


def test_what_was_added_before_an_error_is_there_again_and_the_file_appears_at_the_end(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with ResumableCSV(path, COLUMNS) as table:  # left without finish, as by an error
        table.add({"file": "a", "size": 1})
    assert not path.exists()
    with ResumableCSV(path, COLUMNS) as table:
        assert list(table.rows) == ["a"]
        table.add({"file": "b", "size": 2})
        table.finish()
    assert rows(path) == {"a": "1", "b": "2"}
    assert [one.name for one in path.parent.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("cut", range(1, 6))
def test_half_a_last_row_of_the_journal_is_forgotten_wherever_it_was_cut(tmp_path, cut):
    path = tmp_path / "table.csv"
    with ResumableCSV(path, COLUMNS) as table:
        table.add({"file": "a", "size": 1})
        table.add({"file": "b\nc", "size": 22})
    journal = tmp_path / "table.csv.journal"
    journal.write_bytes(journal.read_bytes()[:-cut])
    with ResumableCSV(path, COLUMNS) as table:
        assert list(table.rows) == ["a"]
        table.add({"file": "d", "size": 3})
        table.finish()
    assert rows(path) == {"a": "1", "d": "3"}


def test_a_later_row_replaces_an_earlier_one_of_the_same_key(tmp_path):
    path = tmp_path / "table.csv"
    for size in (1, 2):
        with ResumableCSV(path, COLUMNS) as table:
            table.add({"file": "a", "size": size})
            table.finish()
    assert rows(path) == {"a": "2"}


@pytest.mark.parametrize("name", ["ä ö.mp4", 'a,"b".mp4', "a\nb.mp4", "\udcff.mp4", "動画.mp4"])
def test_any_file_name_comes_back(tmp_path, name):
    path = tmp_path / "table.csv"
    with ResumableCSV(path, COLUMNS) as table:
        table.add({"file": name, "size": 1})
        table.finish()
    assert rows(path) == {name: "1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns are not file, size"),
        ("path,size\n", "columns are not file, size"),
        ("file,size\na\n", "line 2: not a whole row"),
        ('file,size\n"a,1\n', "line 2: unexpected end"),
    ],
)
def test_a_damaged_file_is_named_with_the_line_and_the_remedy(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"table.csv.*{message}.*cmkd prepare"):
        list(read_table(path, COLUMNS))
