import pytest

from medwsss.data.sample import SliceKey, photograph_key


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (SliceKey("P1", "ED", 0), "P1 ED slice 0"),
        (SliceKey("P1", "", 3), "P1 slice 3"),  # of a volume whose phase nobody has named
        (photograph_key("2007_000032"), "2007_000032"),
    ],
)
def test_messages_name_slices_and_photographs(key: SliceKey, words: str) -> None:
    assert str(key) == words
