"""How many turns IEMOCAP has of each emotion, and what another release of its labels changes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from datamodules.iemocap_annotations import Turn

#: Turns by session and emotion, as the evaluation files give them. Those of four classes sum to the
#: 5,531 everybody reports, with 595 happy turns and 1,041 excited ones; those of six to 7,380.
OFFICIAL: Mapping[str, Mapping[str, int]] = {
    "Ses01": {"ang": 229, "exc": 143, "fru": 280, "hap": 135, "neu": 384, "sad": 194},
    "Ses02": {"ang": 137, "exc": 210, "fru": 325, "hap": 117, "neu": 362, "sad": 197},
    "Ses03": {"ang": 240, "exc": 151, "fru": 382, "hap": 135, "neu": 320, "sad": 305},
    "Ses04": {"ang": 327, "exc": 238, "fru": 481, "hap": 65, "neu": 258, "sad": 143},
    "Ses05": {"ang": 170, "exc": 299, "fru": 381, "hap": 143, "neu": 384, "sad": 245},
}

#: Turns that the evaluation files give as ``xxx``, and the features released with DialogueRNN
#: (Majumder et al., "DialogueRNN: An Attentive RNN for Emotion Detection in Conversations", AAAI
#: 2019) as happy: with these 53 six classes have the 7,433 turns that are often reported. The list
#: was found by others, who compared that release with the files (the public repository "emodet").
HAPPY_IN_DIALOGUE_RNN: frozenset[str] = frozenset(
    f"{dialog}_{turn}"
    for dialog, turns in {
        "Ses01F_impro03": "F007 F011 F014 M012",
        "Ses01F_impro06": "M017",
        "Ses01F_impro07": "F007",
        "Ses01M_impro03": "F000",
        "Ses01M_impro07": "F002",
        "Ses02F_impro03": "F002 F005 F006 F007 F020",
        "Ses02M_impro03": "F010 M026 M027",
        "Ses03F_impro02": "M003",
        "Ses03F_impro03": "F000 F003 F010 M003 M008 M013 M016 M019",
        "Ses03F_impro04": "M020",
        "Ses03F_impro07": "F000 F002 F006 M016 M020 M031",
        "Ses03M_impro02": "F001",
        "Ses03M_impro03": "F000 F019 M005 M006 M008 M009 M010 M024 M025 M026 M027 M034 M036 M037",
        "Ses03M_impro05a": "F017",
        "Ses03M_impro07": "F020 M001 M012 M021",
        "Ses05F_impro07": "M010",
    }.items()
    for turn in turns.split()
)


def official_counts(sessions: Iterable[str], dialogue_rnn_labels: bool) -> Counter[tuple[str, str]]:
    """Return the number of turns by (session, emotion), of some sessions."""
    counts: Counter[tuple[str, str]] = Counter()
    for session in sessions:
        for emotion, count in OFFICIAL.get(session, {}).items():
            counts[session, emotion] = count
        if dialogue_rnn_labels:
            counts[session, "hap"] += sum(name[:5] == session for name in HAPPY_IN_DIALOGUE_RNN)
    return counts


def with_dialogue_rnn_labels(turns: Iterable[Turn]) -> list[Turn]:
    """Return the turns, those happy that the features released with DialogueRNN have as happy."""
    return [
        replace(turn, emotion="hap")
        if turn.emotion == "xxx" and turn.name in HAPPY_IN_DIALOGUE_RNN
        else turn
        for turn in turns
    ]


def differences(
    turns: Iterable[Turn], sessions: Sequence[str], dialogue_rnn_labels: bool
) -> list[str]:
    """Return where turns are not those of the distribution, a line a session and emotion.

    Which turns they are can be told only of those that DialogueRNN's features have as happy: of
    the others no list is published.
    """
    found: Counter[tuple[str, str]] = Counter()
    happy: set[str] = set()
    for turn in turns:
        found[turn.dialog[:5], turn.emotion] += 1
        if turn.emotion == "hap":
            happy.add(turn.name)
    lines = [
        f"{session} {emotion}: {found[session, emotion]} turns instead of {count}"
        for (session, emotion), count in official_counts(sessions, dialogue_rnn_labels).items()
        if found[session, emotion] != count
    ]
    if dialogue_rnn_labels:
        lines += [
            f"{name} is not there as xxx"
            for name in sorted(HAPPY_IN_DIALOGUE_RNN - happy)
            if name[:5] in sessions
        ]
    return lines
