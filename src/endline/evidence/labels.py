"""Words of labels: which mean normal, which say nothing, and which must be asked about before they count as a fault."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from endline.dotted import flatten
from endline.errors import EndlineError
from endline.samples import NORMAL


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# As `_folded` leaves them: lower case, without blanks and the punctuation of abbreviations.
NORMAL_WORDS = _words(
    "0 normal normals good ok okay pass passed accepted healthy nominal conforming intact correct faultless "
    "nofault nodefect faultfree defectfree negative false "
    "io inordnung gut gutteil gutteile fehlerfrei intakt konform negativ "
    "bon bonne bons bonnes buono buona buoni buone bueno buena buenos bom goed dobry норма годен 正常 合格 良品"
)
UNKNOWN_WORDS = _words(
    "na nan null unknown unlabelled unlabeled unsorted unclear undefined nolabel tbd unbekannt unklar unsortiert "
    "inconnu sconosciuto desconocido #na #nv <na>"
) | {""}
# They name a fault without saying which: inside a folder of good ones they contradict it, see `names_a_fault`.
FAULTY_WORDS = _words(
    "fault faults faulty defective defect defects bad reject rejects rejected scrap broken damaged failed nok ng "
    "anomaly anomalies anomalous fehlerhaft fehler defekt schlecht schlechtteil schlechtteile ausschuss schrott nio"
)
# It is not sure what they mean (`true`: faulty, or good?), or that they name a fault at all (`test/` beside `normal/`);
# `all` is the row of all faults in every table and figure.
UNSURE_WORDS = _words(
    "true yes y ja j oui si no n nein non none positive positiv all "
    "train training test testing val valid validation mask masks groundtruth image images imgs data dataset "
    "recording recordings cycle cycles backup archive export"
)
# Parts of a longer name that make it doubtful (`normal_test`, `good2`), and words that are recognised when misspelt.
TELLING = _words("normal normals good ok okay passed healthy gut fehlerfrei unknown unbekannt unlabelled nan")
MISSPELT = ("normal", "healthy", "passed", "unknown", "unbekannt", "unlabelled", "fehlerfrei", "intakt")
SIMILAR = 0.83  # of difflib: one wrong, missing or swapped letter in six
NEGATIONS = _words("not no non nicht kein keine never n un")
_NEGATED = re.compile(
    rf"(ab|a|un|in|non|not|no|nicht|kein|n|dis)({'|'.join(sorted(word for word in NORMAL_WORDS if word.isalpha()))})"
)
_ZERO = re.compile(r"0[.,]0*")  # a spreadsheet's or a data frame's way to write 0
_PIECES = re.compile(r"[^\W\d_]+")
_MOST = 0.5  # share of the labelled rows above which one kind of fault is asked about
Own = Mapping[str, str | None]


def own_labels(setting: object) -> dict[str, str | None]:
    """The setting `labels` (word -> `normal`, `unknown` or a kind of fault), its words as they are looked up.

    A word with dots, which `--params=labels.St.2=normal` takes for groups in groups, is put together again.

    Raises:
        EndlineError: when the setting is no mapping, or says a doubtful word of another one.

    Example:
        >>> own_labels({"Serie": "normal", "Muster": "unknown", 3: "scratch", "St": {"2": "normal"}})
        {'serie': 'normal', 'muster': None, '3': 'scratch', 'st.2': 'normal'}
    """
    if not setting:
        return {}
    if not isinstance(setting, Mapping):
        raise EndlineError(f"labels={setting} maps no word: write labels: {{<word>: normal}}, or labels.<word>=normal.")
    own: dict[str, str | None] = {}
    for word, said in flatten(setting).items():
        kind = None if said is None else _known(str(said))
        if kind is not None and is_doubtful(kind) and _folded(kind) != _folded(word):
            raise EndlineError(
                f"The setting labels says that '{word}' means '{kind}', which may mean a fault or not: say normal, "
                "unknown, or the kind of fault."
            )
        own[_plain(word).casefold()] = kind
    return own


def kind_of(word: str, own: Own | None = None) -> str | None:
    """What a label says: NORMAL, None for unknown, else the kind of fault, which is the word itself.

    Args:
        word: of a label table, or the name of a folder.
        own: words of the user, see `own_labels`; they come first.

    Example:
        >>> kind_of(" i.O. "), kind_of("0,0"), kind_of("n/a"), kind_of("1*"), kind_of("n.i.O.")
        ('normal', 'normal', None, '1*', 'n.i.O.')
    """
    plain = _plain(word)
    if own and plain.casefold() in own:
        return own[plain.casefold()]
    return _known(plain)


def names_a_fault(word: str) -> bool:
    """Whether a word says that something is wrong, whatever it is.

    Example:
        >>> [names_a_fault(word) for word in ("n.i.O.", "not ok", "Faulty", "abnormal", "2024-05-01", "scratch")]
        [True, True, True, True, False, False]
    """
    letters = "".join(_PIECES.findall(word)).casefold()
    return letters in FAULTY_WORDS or (_known(word) not in (None, NORMAL) and _NEGATED.fullmatch(letters) is not None)


def is_doubtful(word: str) -> bool:
    """Whether a word that names a kind of fault may well mean normal, unknown, or no kind at all.

    Any other word is free, for data sets name their faults as they like (`7`, `1*`, `bent_wire`). Doubtful are:
    `UNSURE_WORDS`; a word of normal or unknown with something beside it (`normal_test`, `ok?`, `0*`, `Gut2`), unless
    it is negated (`not_ok`, `n.i.O.`, `abnormal`); a path with such a word in it (`line_3/ok`); one that is misspelt
    (`nromal`); and mere signs (`+`).

    Example:
        >>> [word for word in ("normal_test", "nromal", "true", "not ok", "1*", "thread_top") if is_doubtful(word)]
        ['normal_test', 'nromal', 'true']
    """
    if _known(word) in (None, NORMAL):
        return False
    folders = [name for name in word.split("/") if name]
    if _folded(word) in UNSURE_WORDS or (len(folders) > 1 and any(_known(name) in (None, NORMAL) for name in folders)):
        return True
    pieces = [piece.casefold() for piece in _PIECES.findall(re.sub(r"(?<=[a-zß-ÿ])(?=[A-Z])", " ", word))]
    letters = "".join(pieces)
    if not letters:
        digits = re.sub(r"\D", "", word)
        return not digits.strip("0")  # `0*`, `00`, `+`
    if _NEGATED.match(letters) or NEGATIONS & set(pieces):
        return False
    return (
        letters in NORMAL_WORDS | UNKNOWN_WORDS
        or not TELLING.isdisjoint(pieces)
        or bool(get_close_matches(letters, MISSPELT, 1, SIMILAR))
    )


def check_words(words: Iterable[str | None], where: str, own: Own | None = None) -> None:
    """Refuse kinds of fault that may well be something else, all of them at once.

    Args:
        words: kinds of all items, as `kind_of` gives them.
        where: what they stand in, in the user's words: a path.
        own: words of the user, whose kinds are taken as they are.

    Raises:
        EndlineError: naming the doubtful words, how often each stands there, and the setting that says what they mean.

    Example:
        >>> check_words(["normal", "7", "7", None], "labels.csv")
        >>> check_words(["nromal"], "labels.csv")
        Traceback (most recent call last):
        endline.errors.EndlineError: labels.csv labels with words that may mean a fault or not: 'nromal' (1). Say ...
    """
    trusted = set((own or {}).values())
    counts = Counter(word for word in words if word not in trusted and word is not None and is_doubtful(word))
    if counts:
        said = ", ".join(f"'{word}' ({count})" for word, count in sorted(counts.items()))
        mapped = ", ".join(f"'{word}': ..." for word in sorted(counts)[:3])
        raise EndlineError(
            f"{where} labels with words that may mean a fault or not: {said}. Say what each means by the setting "
            f"labels: {{{mapped}}} (normal, unknown, or the kind of fault; in the station's YAML, or "
            f"--params=labels.<word>=normal), or rename them."
        )


def frequent_fault(kinds: Iterable[str | None]) -> tuple[str, int, int] | None:
    """The kind of fault that more than half of the labelled items have, its count, and the number of labelled items.

    Most parts are good, so that it may be a word for good that nobody knows here.

    Example:
        >>> frequent_fault(["Serie", "Serie", "normal", None]), frequent_fault(["normal", "7"])
        (('Serie', 2, 3), None)
    """
    labelled = [kind for kind in kinds if kind is not None]
    ((kind, count),) = Counter(labelled).most_common(1) or [(NORMAL, 0)]
    return None if kind == NORMAL or count <= _MOST * len(labelled) else (kind, count, len(labelled))


def _known(word: str) -> str | None:
    """NORMAL or None for the words that say so, else the word without blanks and signs that cannot be printed."""
    plain, folded = _plain(word), _folded(word)
    if folded in NORMAL_WORDS or _ZERO.fullmatch(plain):
        return NORMAL
    return None if folded in UNKNOWN_WORDS or set(plain) <= {"?"} else plain


def _plain(word: str) -> str:
    text = unicodedata.normalize("NFC", word)
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _folded(word: str) -> str:
    """Lower case, without blanks and what abbreviations are written with."""
    return re.sub(r"[\s._\-–—/]+", "", unicodedata.normalize("NFKC", word).casefold())
