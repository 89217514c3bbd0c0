"""What the statement reader says itself: places, here-documents, errors."""

import pytest

from sandcell.runtime.build.dockerfile import here_mark, parse
from sandcell.runtime.errors import DockerfileError


def test_a_statement_knows_its_lines_and_their_text() -> None:
    text = '# top\nFROM host\n\nRUN one \\\n  # why\n  && two\nCMD ["x"]'
    statements = parse(text).statements
    assert [one.lines for one in statements] == [(2, 2), (4, 6), (7, 7)]
    assert statements[1].source == "RUN one \\\n  # why\n  && two"
    assert statements[1].line == "RUN one   && two"
    assert statements[1].words == ("one   && two",)


def test_a_here_document_belongs_to_its_statement() -> None:
    statement = parse("FROM host\nCOPY <<A <<-'B' /x/\n$one\nA\n\ttwo\n\tB\nRUN x").statements[1]
    first, second = statement.here_documents
    assert (first.name, first.content, first.expand, first.chomp) == ("A", "$one\n", True, False)
    assert (second.name, second.content, second.expand, second.chomp) == ("B", "\ttwo\n", False, True)
    assert second.text == "two\n"
    assert statement.lines == (2, 6)


@pytest.mark.parametrize(
    ("word", "name", "expand"),
    [("<<EOF", "EOF", True), ("<<'EOF'", "EOF", False), ('<<"E"OF', "EOF", False), (r"<<\EOF", "EOF", False)],
)
def test_a_quoted_mark_means_literal_content(word: str, name: str, expand: bool) -> None:
    found = here_mark(word)
    assert found is not None
    assert (found.name, found.expand) == (name, expand)


@pytest.mark.parametrize("word", ["<<", "<<<word", "a<<b", "<<'a", "x"])
def test_other_words_are_no_marks(word: str) -> None:
    assert here_mark(word) is None


@pytest.mark.parametrize(
    ("text", "lines", "cause", "hint"),
    [
        ("", (1, 1), "there is no instruction in it", "FROM host"),
        ("FORM host", (1, 1), "there is no instruction FORM", "did you mean FROM?"),
        ("FROM host\npip install x", (2, 2), "no instruction pip", "write RUN pip install x"),
        ("FROM host\nCPOY \\\n a b", (2, 3), "no instruction CPOY", "did you mean COPY?"),
        ("FROM host\nONBUILD FOO x", (2, 2), "no instruction FOO", "RUN FOO x"),
        ("FROM host\nRUN <<E\nx\ny", (2, 4), "<<E has no end", "put E alone"),
        ("FROM host\nENV a", (2, 2), "ENV a has no value", "ENV a=value"),
        ("FROM host\nENV a=b c d=e", (2, 2), "there is no = in 'c'", "quotes"),
        ("FROM host\nCMD [1]", (2, 2), "strings only", "sleep"),
        ("# escape=x\nFROM host", (1, 1), "must be \\ or `, not x", ""),
        ("FROM host\nRUN a\0b", (2, 2), "NUL character", "text file"),
        ("# syntax=x\n# syntax=y\nFROM host", (2, 2), "syntax is given twice", ""),
    ],
)
def test_an_error_names_the_lines_and_what_to_do(
    text: str, lines: tuple[int, int], cause: str, hint: str
) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    error = caught.value
    assert error.lines == lines
    assert cause in error.cause
    assert hint in error.hint
    assert error.source == "\n".join(text.split("\n")[lines[0] - 1 : lines[1]])
