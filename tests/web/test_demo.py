import json
import re
from collections import defaultdict

import pytest

from triform import systems
from triform.web import demo
from triform.web.access import Access
from triform.web.demo import examples, label, note, translated
from triform.web.forms import form
from triform.web.pages import verbs_by_page
from triform.web.requests import build_settings, read_request
from triform.web.results import ResultStore
from triform.web.server_values import ServerFolders
from triform.web.uploads import Uploads

RUSSIAN = re.compile("[а-яё]", re.IGNORECASE)
EXPLORE = [(row["system"], row["verb"]) for row in verbs_by_page()["explore"]]
ROWS = {(row["system"], row["verb"]): row for rows in verbs_by_page().values() for row in rows}


@pytest.fixture(scope="module")
def texts():
    """Text of the pages -> systems whose pages have it."""
    found = defaultdict(set)
    for (system, verb), row in ROWS.items():
        hints = [each["hint"] for each in form(systems.load(system).config.VERBS[verb])]
        for text in (row["about"], row["summary"], *hints):
            found[text].add(system)
    return found


@pytest.fixture(scope="module")
def labels():
    """Name of a setting or of a group of the pages -> systems whose pages have it."""
    found = defaultdict(set)
    for system, verb in ROWS:
        for each in form(systems.load(system).config.VERBS[verb]):
            for name in (each["label"], *each["group"].split(".")):
                found[name].add(system)
    return {name: users for name, users in found.items() if name}


def test_every_label_is_translated(labels):
    missing = [
        f"{system}: {name}"
        for name, users in labels.items()
        for system in users
        if not RUSSIAN.search(label(name, system, "ru"))
    ]
    assert missing == []  # add them to "labels" in demo.json of the system
    assert label("num samples", "vae", "en") == "num samples"
    assert label("new name", "vae", "ru") == "new name"


def test_no_label_is_translated_in_vain(labels):
    shared = json.loads(demo.SHARED_LABELS.read_text(encoding="utf-8"))
    assert [name for name in shared if len(labels.get(name, ())) < 2] == []
    for system in systems.names():
        path = systems.load(system).folder / demo.FILE
        own = json.loads(path.read_text(encoding="utf-8")).get("labels", {})
        assert [name for name in own if system not in labels.get(name, ())] == [], system
        assert [name for name in own if shared.get(name) == own[name]] == [], system


def test_every_text_of_the_pages_is_translated(texts):
    missing = [
        f"{system}: {text}"
        for text, users in texts.items()
        for system in users
        if not RUSSIAN.search(translated(text, system, "ru"))
    ]
    assert missing == []  # add them to demo.json of the system, or to web/russian.json


def test_nothing_is_translated_in_vain(texts):
    shared = json.loads(demo.SHARED.read_text(encoding="utf-8"))
    assert [text for text in shared if len(texts[text]) < 2] == []
    for name in systems.names():
        path = systems.load(name).folder / demo.FILE
        own = json.loads(path.read_text(encoding="utf-8"))["russian"]
        assert [text for text in own if name not in texts[text] or text in shared] == [], name


def test_notes_and_prompts_are_in_the_language_of_the_page():
    for (system, verb), _ in ROWS.items():
        texts = {language: note(system, verb, language) for language in ("en", "ru")}
        assert bool(texts["en"]) == bool(RUSSIAN.search(texts["ru"])), (system, verb)
        assert not RUSSIAN.search(texts["en"])
    first = {language: examples("shape_flow", "generate", language)[0] for language in ("en", "ru")}
    assert first["en"] == {"title": "a red armchair", "settings": {"prompt": ["a red armchair"]}}
    assert first["ru"]["settings"] == {"prompt": ["красное кресло"]}


def test_an_unknown_text_stays_english():
    assert translated("New.", "vae", "ru") == "New." == translated("New.", "vae", "en")


@pytest.fixture(scope="module")
def access(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    store = ResultStore(root / "results")
    yield Access([], root / "runs", Uploads(root / "uploads", 1, 1), store)
    store.close()


@pytest.mark.parametrize(("system", "verb"), ROWS)
def test_examples_are_valid(access, tmp_path, system, verb):
    """What a click sends is what the verb takes."""
    rows = {language: examples(system, verb, language) for language in ("en", "ru")}
    assert rows["en"] or (system, verb) not in EXPLORE
    for name in ("inputs", "files"):
        (tmp_path / name).mkdir()
    folders = ServerFolders(tmp_path, tmp_path, tmp_path)
    for row, russian in zip(rows["en"], rows["ru"], strict=True):
        assert RUSSIAN.search(russian["title"]) and not RUSSIAN.search(row["title"])
        for settings in (row["settings"], russian["settings"]):
            request = read_request(system, verb, settings)
            build_settings(request, access, tmp_path, folders)
