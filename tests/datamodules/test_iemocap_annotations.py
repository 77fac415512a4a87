import re

import pytest

from datamodules.iemocap_annotations import (
    Turn,
    read_evaluation,
    read_session,
    read_transcription,
)
from datamodules.iemocap_counts import (
    HAPPY_IN_DIALOGUE_RNN,
    OFFICIAL,
    differences,
    official_counts,
    with_dialogue_rnn_labels,
)
from tests.datamodules.iemocap_files import write_iemocap

DIALOG = "Ses01F_impro01"

EVALUATION = f"""% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\t{DIALOG}_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
C-F1:\tNeutral;\t(curious, as {DIALOG}_M001)
A-E3:\tval 3; act 2; dom  2;\t()
A-M1:\tval ; act ; dom  ;\t()

[10.0100 - 11]\t{DIALOG}_M001\txxx\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
"""


def evaluation(tmp_path, text, encoding="utf-8"):
    path = tmp_path / f"{DIALOG}.txt"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_turns_are_read_between_the_evaluators_lines(tmp_path, end, mark):
    path = evaluation(tmp_path, mark + EVALUATION.replace("\n", end))
    assert read_evaluation(path) == [
        Turn(f"{DIALOG}_F000", DIALOG, "Ses01F", "neu", 6.2901, 8.2357, f"{path}, line 3"),
        Turn(f"{DIALOG}_M001", DIALOG, "Ses01M", "xxx", 10.01, 11.0, f"{path}, line 9"),
    ]


def test_comments_of_evaluators_may_be_in_an_old_encoding(tmp_path):
    path = evaluation(tmp_path, EVALUATION.replace("curious", "naïve café"), "cp1252")
    assert len(read_evaluation(path)) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"[6.2 - 8.2]\t{DIALOG}_F000\tneu", "expected '.start - end.<tab>turn"),
        (f"[6.2]\t{DIALOG}_F000\tneu\t[2, 2, 2]", "expected '.start - end.<tab>turn"),
        (f"- 8.2]\t{DIALOG}_F000\tneu\t[2, 2, 2]", "expected '.start - end.<tab>turn"),
        ("[6.2 - 8.", "expected '.start - end.<tab>turn"),
        (f"[6.2 - 8.2]\t{DIALOG}_F000\thappy\t[2, 2, 2]", "'happy' is none of the emotions ang"),
        ("[6.2 - 8.2]\tSes02F_impro01_F000\tneu\t[2, 2, 2]", "should be Ses01F_impro01_F"),
        (f"[6.2 - 8.2]\t{DIALOG}_X000\tneu\t[2, 2, 2]", "should be Ses01F_impro01_F"),
        (f"[8.2 - 6.2]\t{DIALOG}_F000\tneu\t[2, 2, 2]", "ends at 6.2 s, but begins at 8.2 s"),
    ],
)
def test_bad_lines_of_evaluations_are_named(tmp_path, line, message):
    path = evaluation(tmp_path, f"% header\n\n{line}\n")
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}, line 3: .*{message}"):
        read_evaluation(path)


def test_a_turn_that_is_evaluated_twice_is_named(tmp_path):
    line = f"[1.0 - 2.0]\t{DIALOG}_F000\tneu\t[2, 2, 2]\n"
    with pytest.raises(ValueError, match=f"line 2: the turn {DIALOG}_F000 is given twice"):
        read_evaluation(evaluation(tmp_path, line * 2))


TRANSCRIPTION = f"""{DIALOG}_F000 [006.2901-008.2357]: Excuse me: [LAUGHTER] ça va?
{DIALOG}_MXX0 [010.0100-011.3925]: [BREATHING]
M: Yeah.
{DIALOG}_M001 [010.0100-011.3925]:

{DIALOG}_F002 [012.0000-013.0000]: Not evaluated.
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_texts_of_the_wanted_turns_are_read(tmp_path, end):
    path = evaluation(tmp_path, TRANSCRIPTION.replace("\n", end))
    wanted = [f"{DIALOG}_F000", f"{DIALOG}_M001", f"{DIALOG}_M009"]
    assert read_transcription(path, wanted) == {
        f"{DIALOG}_F000": "Excuse me: [LAUGHTER] ça va?",
        f"{DIALOG}_M001": "",
    }


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (f"{DIALOG}_F000 Excuse me.\n", f"line 1: expected '{DIALOG}_F000 .start-end.: text'"),
        (f"{DIALOG}_F000 [1-2]: a\n{DIALOG}_F000 [1-2]: b\n", "line 2: .* is transcribed twice"),
    ],
)
def test_bad_lines_of_transcriptions_are_named(tmp_path, lines, message):
    path = evaluation(tmp_path, lines)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}, {message}"):
        read_transcription(path, [f"{DIALOG}_F000"])


def test_a_session_is_read_without_the_files_that_macos_leaves(tmp_path):
    root = write_iemocap(tmp_path, sessions=[3])
    turns = read_session(root / "Session3")
    assert len(turns) == 16
    assert {turn.speaker for turn in turns} == {"Ses03F", "Ses03M"}
    assert {turn.dialog for turn in turns} == {"Ses03F_impro01", "Ses03M_script01_1"}


def test_a_session_without_evaluations_or_with_those_of_another_is_named(tmp_path):
    (tmp_path / "Session1").mkdir()
    with pytest.raises(FileNotFoundError, match=r"Session1.*EmoEvaluation"):
        read_session(tmp_path / "Session1")
    folder = tmp_path / "Session1" / "dialog" / "EmoEvaluation"
    folder.mkdir(parents=True)
    (folder / "Ses02F_impro01.txt").write_text("")
    with pytest.raises(ValueError, match=r"Ses02F_impro01.txt is no dialog of Session1"):
        read_session(tmp_path / "Session1")


def complete():
    """Turns as many as the distribution has, those of DialogueRNN's list among them."""
    turns = [
        Turn(f"{session}F_{emotion}_F{number}", f"{session}F_{emotion}", "", emotion, 0, 1, "")
        for session, emotions in OFFICIAL.items()
        for emotion, count in emotions.items()
        for number in range(count)
    ]
    undecided = [
        Turn(name, name.rpartition("_")[0], "", "xxx", 0, 1, "") for name in HAPPY_IN_DIALOGUE_RNN
    ]
    return turns + undecided


def total(counts, *emotions):
    return sum(count for (_, emotion), count in counts.items() if emotion in emotions)


def test_the_counts_sum_to_those_that_are_reported():
    counts = official_counts(OFFICIAL, dialogue_rnn_labels=False)
    assert total(counts, "ang") == 1_103
    assert total(counts, "hap", "exc") == 1_636
    assert total(counts, "neu") == 1_708
    assert total(counts, "sad") == 1_084
    assert counts.total() == 5_531 + 1_849
    assert official_counts(OFFICIAL, dialogue_rnn_labels=True).total() == 7_433


def test_a_complete_distribution_has_no_differences():
    turns = complete()
    assert differences(turns, list(OFFICIAL), dialogue_rnn_labels=False) == []
    assert differences(with_dialogue_rnn_labels(turns), list(OFFICIAL), True) == []


def test_differences_are_told_by_session_and_emotion_and_by_turn_where_names_are_known():
    turns = [
        turn for turn in complete() if turn.name not in ("Ses04F_fru_F0", "Ses01F_impro06_M017")
    ]
    assert differences(turns, list(OFFICIAL), False) == ["Ses04 fru: 480 turns instead of 481"]
    assert differences(with_dialogue_rnn_labels(turns), list(OFFICIAL), True) == [
        "Ses01 hap: 142 turns instead of 143",
        "Ses04 fru: 480 turns instead of 481",
        "Ses01F_impro06_M017 is not there as xxx",
    ]


def test_sessions_that_are_not_there_are_no_difference():
    turns = [turn for turn in complete() if turn.dialog.startswith("Ses02")]
    assert differences(turns, ["Ses02"], dialogue_rnn_labels=False) == []
