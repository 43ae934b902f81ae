from collections import Counter
from pathlib import Path

import pytest

from triform.base.errors import UserError
from triform.tasks.shape_generation.categories import GROUPS, group_of, read_prompts


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("Bedside table", "tables and desks"),
        ("Table fan", None),
        ("Table with tablecloth", "tables and desks"),
        ("Glass door cabinet", "shelves and cabinets"),
        ("Glass door", "doors and windows"),
        ("Toilets unit", "basins and toilets"),
        ("Toilet brush", None),
        ("Sofa 2 seats", "sofas"),
        ("Chair with cushion", "chairs"),
        ("Double French window small panes", "doors and windows"),
        ("a desk with three drawers", "tables and desks"),
        ("Lying down male", "people"),
        ("", None),
    ],
)
def test_the_head_noun_decides(name: str, group: str | None) -> None:
    assert group_of(name) == group


def test_a_car_that_is_called_by_its_make_is_known_by_its_category() -> None:
    assert group_of("Ford Focus") is None
    assert group_of("Ford Focus", "Vehicles") == "vehicles"


def test_no_word_stands_for_two_groups() -> None:
    uses = Counter(word for words in GROUPS.values() for word in words)
    assert max(uses.values()) == 1


def test_thirty_different_prompts_for_each_group() -> None:
    prompts = read_prompts()
    assert Counter(group for _, group in prompts) == dict.fromkeys(GROUPS, 30)
    assert len({prompt for prompt, _ in prompts}) == 300


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a,b\n1,2\n", "prompt,group"),
        ("prompt,group\na chair,chair\n", "line 2: group 'chair'"),
        ("prompt,group\n,chairs\n", "line 2: the prompt is empty"),
    ],
)
def test_a_wrong_prompt_file_is_refused_with_its_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_prompts(path)
    with pytest.raises(UserError, match="not there"):
        read_prompts(tmp_path / "missing.csv")
