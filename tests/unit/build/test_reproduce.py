from pipeline.build.reproduce import differing


def test_what_differs_is_named_in_order() -> None:
    first = {"same": "1", "z/changed": "1", "a/gone": "1"}
    second = {"same": "1", "z/changed": "2", "new": "1"}
    assert differing(first, second) == ["a/gone", "new", "z/changed"]
    assert differing(first, dict(first)) == []
