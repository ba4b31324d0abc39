"""Docstrings of every convention become the prose that a person would keep of them."""

from importlib.metadata import distribution, distributions
from pathlib import Path

from harness.evaluation.tasks.pydoc_sources import Docstring
from harness.training.corpus_sections import plain
from harness.training.documentation import from_docstring, from_guide, read_documentation
from tests.training.corpus_distributions import install

NUMPYDOC = """\
Return the sorted, distinct elements of an array.

Parameters
----------
ar : array_like
    Input array that is flattened first.
axis, other : int or None, optional
    The axis to work along,
    see there.

Returns
-------
ndarray
    What was found.

See Also
--------
repeat : Repeat elements.

Notes
-----
Sorting is stable [1]_.

Examples
--------
Call it thus, and it will answer:

>>> unique([1, 1])
array([1])

References
----------
.. [1] Somebody, "Something", 1970.
"""


def lines(text: str) -> list[str]:
    return [line.strip() for line in plain(text).splitlines() if line.strip()]


def test_numpydoc_keeps_names_and_explanations() -> None:
    assert lines(NUMPYDOC) == [
        "Return the sorted, distinct elements of an array.",
        "ar: Input array that is flattened first.",
        "axis, other: The axis to work along,",
        "see there.",
        "What was found.",
        "Sorting is stable.",
    ]


def test_an_explanation_of_several_lines_is_no_line_of_types() -> None:
    text = (
        "Make it.\n\nParameters\n----------\ncopy : bool\n    If True, make copies\n"
        "    (where there are none).\n\nReturns\n-------\nout : ndarray"
    )
    assert lines(text) == ["Make it.", "copy: If True, make copies", "(where there are none)."]


def test_the_type_of_what_is_returned_goes_and_that_of_an_error_stays() -> None:
    text = "Get.\n\nReturns:\n    dict[str, int]: Sizes.\n\nRaises:\n    KeyError: If none."
    assert lines(text) == ["Get.", "Sizes.", "KeyError: If none."]


def test_footnotes_go_and_indices_stay() -> None:
    text = "As in [1]_ and [CT95], args[0] and [0, 1] are [the words][target]."
    assert lines(text) == ["As in and, args[0] and [0, 1] are the words."]


def test_each_item_of_a_list_is_a_paragraph() -> None:
    assert plain("These:\n- one\n- two\n  more\n1. three") == (
        "These:\n\none\n\ntwo\n  more\n\nthree"
    )


def test_google_sections_keep_names_and_explanations() -> None:
    text = (
        "Copy a blob.\n\nArgs:\n    name (Optional[Union[str, Tuple[int]]]): Where\n        to.\n"
        "    size: How much.\n\nReturns:\n    The copy.\n\nExample:\n    blob.copy()\n\nDone so."
    )
    assert lines(text) == [
        "Copy a blob.",
        "name: Where",
        "to.",
        "size: How much.",
        "The copy.",
        "Done so.",
    ]


def test_fields_lose_their_types() -> None:
    text = (
        "Send it.\n\n:param str name: Whose\n    it is.\n:type name:\n    str or\n    bytes\n"
        ":keyword size: How much.\n:paramtype size: int\n:return: The answer.\n:rtype: dict"
    )
    assert lines(text) == [
        "Send it.",
        "name: Whose",
        "it is.",
        "size: How much.",
        "Returns The answer.",
    ]


def test_epytext_is_read_as_fields_and_words() -> None:
    text = "Log C{None} to L{here}.\n\n@param a: B{Bold}.\n@type a: C{int}\n@return: It."
    assert lines(text) == ["Log None to here.", "a: Bold.", "Returns It."]


def test_code_in_fences_directives_and_literal_blocks_is_left_out() -> None:
    text = (
        "One.\n\n```python\nprint(1)\n```\n\n.. code-block:: python\n\n    call it\n\n"
        "Such as::\n\n    an example of it\n\n.. note:: Mind the gap.\n\n.. math:: a + b\n\nTwo."
    )
    assert lines(text) == ["One.", "Such as::", "Mind the gap.", "Two."]


def test_links_tags_and_addresses_leave_their_words() -> None:
    text = "See [the guide](https://a.b/c) or `this one <https://a.b>`_, <b>bold</b>."
    assert lines(text) == ["See the guide or this one, bold."]


def test_a_docstring_becomes_a_text_and_a_pair() -> None:
    docstring = Docstring("spam.load_eggs", "function", NUMPYDOC)
    document = from_docstring("spam", docstring)
    assert document.package == "spam"
    assert document.name == "spam.load_eggs"
    assert document.query == "Return the sorted, distinct elements of an array"
    assert document.positive == (
        "ar: Input array that is flattened first.\n"
        "axis, other: The axis to work along, see there.\n"
        "What was found.\nSorting is stable."
    )
    assert document.text == f"{document.query}.\n{document.positive}"


def test_the_own_name_is_masked_in_a_pair_only() -> None:
    body = "Then load_eggs() waits until every one of the eggs has been boiled, peeled and served."
    document = from_docstring(
        "spam",
        Docstring("spam.load_eggs", "function", f"Fetch breakfast from a kitchen.\n\n{body}"),
    )
    assert document.text == f"Fetch breakfast from a kitchen.\n{body}"
    assert document.positive == body.replace("load_eggs()", "this function")


def test_a_summary_that_names_the_object_or_a_short_body_is_no_pair() -> None:
    body = "This says very much about what happens to the eggs once they have been in the pan."
    named = from_docstring(
        "spam", Docstring("spam.eggs", "function", f"Boil all eggs of a kitchen pan.\n\n{body}")
    )
    short = from_docstring(
        "spam",
        Docstring("spam.eggs", "function", "Boil whatever a kitchen pan holds.\n\nRather slowly."),
    )
    assert (named.query, named.positive) == ("", "")
    assert (short.query, short.positive) == ("", "")
    assert short.text == "Boil whatever a kitchen pan holds.\nRather slowly."


def test_licences_are_no_documentation() -> None:
    legal = "Licensed under the Apache License, Version 2.0; you may obtain a copy of the License."
    assert from_docstring("spam", Docstring("spam", "module", legal)).text == ""
    text = f"Boil whatever a kitchen pan holds.\n\n{legal}\n\nSlowly, of course."
    document = from_docstring("spam", Docstring("spam", "module", text))
    assert document.text == "Boil whatever a kitchen pan holds.\nSlowly, of course."


def test_a_guide_is_cut_at_paragraphs_into_pieces() -> None:
    paragraph = "This paragraph has exactly ten words in it, you see."
    text = "# Title\n\n| a | b |\n\n" + "\n\n".join([paragraph] * 20) + "\n\nToo short.\n"
    pieces = list(from_guide("spam", "docs/guide.md", text))
    assert [piece.name for piece in pieces] == ["docs/guide.md#1", "docs/guide.md#2"]
    assert [piece.text.splitlines() for piece in pieces] == [[paragraph] * 15, [paragraph] * 5]


def test_own_sources_and_guides_are_read_and_nothing_else(tmp_path: Path) -> None:
    said = "Boil {} in the large pan of the old kitchen downstairs."
    source = '"""{}"""\n'
    guide = "In the beginning one must boil the {} for at least three minutes."
    install(
        tmp_path,
        "spam",
        {
            "spam/__init__.py": source.format(said.format("eggs")),
            "spam/pan.py": source.format("Too short."),
            "spam/old.py": "print 'of another Python'",
            "spam/test_pan.py": source.format(said.format("tests")),
            "spam/tests/helper.py": source.format(said.format("helpers")),
            "spam/_vendor/six.py": source.format(said.format("others")),
            "spam/guide.md": guide.format("guide"),
            "spam/LICENSE.md": guide.format("licence"),
            "../outside.py": source.format(said.format("outside")),
        },
        description=guide.format("description"),
    )
    (tmp_path / "stray.py").write_text(source.format(said.format("strays")))
    (found,) = distributions(path=[str(tmp_path)])
    documents = read_documentation("spam", found)
    assert [(one.name, one.text) for one in documents] == [
        ("description#1", guide.format("description")),
        ("spam", said.format("eggs")),
        ("spam/guide.md#1", guide.format("guide")),
    ]


def test_a_real_package_gives_texts_of_at_least_eight_words() -> None:
    documents = read_documentation("pluggy", distribution("pluggy"))
    assert documents == sorted(documents, key=lambda document: document.name)
    assert "pluggy._caller.HookCaller" in {document.name for document in documents}
    assert min(len(document.text.split()) for document in documents) >= 8
