import pytest

from datamodules.clip_lists import ClipFolder, choose_classes, read_class_index, read_clip_list

INDEX = {"Archery": 1, "Bowling": 2, "Diving": 3}


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def clips(tmp_path, content, labelled=True):
    return read_clip_list(written(tmp_path, "trainlist01.txt", content), INDEX, labelled)


def test_the_class_index_is_read_in_the_order_of_its_numbers(tmp_path):
    path = written(tmp_path, "classInd.txt", b"2 Bowling\r\n\r\n1 Archery\r\n")
    assert list(read_class_index(path).items()) == [("Archery", 1), ("Bowling", 2)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1 Archery\nBowling\n", r"classInd.txt, line 2: expected '<number> <class>'"),
        (b"1 Archery\n1 Bowling\n", r"classInd.txt, line 2: .*already taken"),
        (b"\n", r"classInd.txt names no class"),
    ],
)
def test_a_bad_class_index_is_named_with_its_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_class_index(written(tmp_path, "classInd.txt", content))


def test_list_lines_give_class_file_and_group_whatever_the_line_ends(tmp_path):
    content = b"Archery/v_Archery_g08_c01.avi 1\r\n\r\n  Bowling/v_Bowling_g12_c03.avi  2 \n"
    first, second = clips(tmp_path, content)
    assert (first.class_name, first.file_name, first.group) == (
        "Archery",
        "v_Archery_g08_c01.avi",
        8,
    )
    assert (second.class_name, second.group) == ("Bowling", 12)
    assert second.where.endswith("trainlist01.txt, line 3")


def test_test_lists_have_no_labels(tmp_path):
    (clip,) = clips(tmp_path, b"Diving/v_Diving_g01_c02.avi\n", labelled=False)
    assert clip.class_name == "Diving"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"Archery/v_Archery_g08_c02.avi", "line 2: expected .* <label>'"),
        (b"v_Archery_g08_c02.avi 1", "line 2: expected '<class>/v_<class>_gNN_cNN.avi"),
        (b"Archery/archery.avi 1", "line 2: expected '<class>/v_<class>_gNN_cNN.avi"),
        (b"Golf/v_Golf_g08_c02.avi 1", "line 2: class 'Golf' is not in the class index"),
        (b"Archery/v_Archery_g08_c02.avi 9", r"line 2: label '9' is not .* \(1 to 3\)"),
        (b"Archery/v_Archery_g08_c02.avi x", "line 2: label 'x'"),
        (b"Archery/v_Archery_g08_c02.avi 2", "line 2: label 2 does not .* Archery is 1"),
        (b"Archery/v_Archery_g08_c01.avi 1", "line 2: .* already listed"),
    ],
)
def test_a_bad_list_line_is_named(tmp_path, line, message):
    with pytest.raises(ValueError, match=f"trainlist01.txt, {message}"):
        clips(tmp_path, b"Archery/v_Archery_g08_c01.avi 1\n" + line)


def test_a_list_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"trainlist09.txt; list_folder must hold"):
        read_clip_list(tmp_path / "trainlist09.txt", INDEX, labelled=True)


def test_chosen_classes_come_in_the_order_of_the_index():
    assert choose_classes(INDEX, ["Diving", "Archery"]) == ["Archery", "Diving"]


def test_unknown_and_empty_choices_of_classes_are_refused():
    with pytest.raises(ValueError, match=r"'Archry' is not in the class index; did you mean Arche"):
        choose_classes(INDEX, ["Archry"])
    with pytest.raises(ValueError, match="classes: the list is empty"):
        choose_classes(INDEX, [])


def test_a_clip_is_found_under_another_extension_and_the_listed_one_comes_first(tmp_path):
    (tmp_path / "Archery").mkdir()
    for name in ("v_Archery_g01_c01.mp4", "v_Archery_g01_c02.mp4", "v_Archery_g01_c02.avi"):
        (tmp_path / "Archery" / name).touch()
    (tmp_path / "Archery" / "v_Archery_g01_c03.txt").touch()
    content = b"".join(b"Archery/v_Archery_g01_c0%d.avi 1\n" % n for n in (1, 2, 3))
    folder = ClipFolder(tmp_path)
    found = [folder.find(clip) for clip in clips(tmp_path, content)]
    assert [path and path.name for path in found] == [
        "v_Archery_g01_c01.mp4",
        "v_Archery_g01_c02.avi",
        None,
    ]


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"root: there is no folder .*nowhere"):
        ClipFolder(tmp_path / "nowhere")
