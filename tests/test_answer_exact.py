"""What is gathered of one response, event by event, by hand."""

from harness.answer import Answer, mended
from harness.backends.base import Delta
from harness.errors import ErrorClass


def test_pieces_and_where_they_end() -> None:
    """Reasoning first, then an event with both, then the answer alone."""
    answer = Answer()
    answer.add(Delta(), 3)  # says nothing
    assert (answer.ends, answer.first_chunk_tokens, answer.text, answer.spoken) == ([], None, "", "")
    answer.add(Delta(reasoning="hm ", tokens_so_far=2), 10)
    assert (answer.first_answer, answer.first_chunk_tokens) == (None, 2)
    answer.add(Delta(reasoning="so ", answer="A", tokens_so_far=5), 20)
    answer.add(Delta(answer="BC"), 30)
    assert (answer.ends, answer.pieces, answer.thoughts) == (
        [10, 20, 30],
        ["hm ", "so A", "BC"],
        {0: 3, 1: 3},
    )
    assert (answer.text, answer.spoken) == ("hm so ABC", "ABC")
    assert (answer.first_answer, answer.first_chunk_tokens) == (1, 2)
    answer.times = [100, 200, 300]
    assert answer.first_answer_ns == 200
    assert Answer().first_answer_ns is None


def test_what_has_no_thoughts_is_spoken_whole() -> None:
    """And its first event's count may be missing, or 0."""
    for tokens in (None, 0):
        answer = Answer()
        answer.add(Delta(answer="A", tokens_so_far=tokens), 1)
        assert (answer.first_chunk_tokens, answer.first_answer, answer.spoken) == (None, 0, "A")


def test_a_full_text_counts_only_where_nothing_came_before() -> None:
    """Some servers repeat everything in their last event."""
    answer = Answer()
    answer.add(Delta(full_text="all"), 5)
    answer.add(Delta(full_text="all of it"), 9)
    assert (answer.text, answer.ends) == ("all", [5])


def test_the_first_failure_stays() -> None:
    """What follows from it explains nothing; an answer without one has none."""
    answer = Answer()
    answer.add(Delta(answer="A"), 1)
    assert answer.error_class is None
    answer.add(Delta(error="first", error_class=ErrorClass.OVERLOAD), 2)
    answer.fail(ErrorClass.TRUNCATED, "second")
    assert (answer.error_class, answer.error_message) == (ErrorClass.OVERLOAD, "first")


def test_counts_and_the_end() -> None:
    """The final count is the one, the running one where there is none; what was said last of each holds."""
    answer = Answer()
    answer.add(Delta(tokens_so_far=7, finish_reason="stop", queue_ms=1.5), 1)
    assert (answer.counted, answer.done) == (7, False)
    answer.add(Delta(output_tokens=0, done=True), 2)
    assert (answer.counted, answer.done, answer.finish_reason, answer.queue_ms) == (0, True, "stop", 1.5)
    answer.add(Delta(finish_reason="length"), 3)
    assert (answer.done, answer.finish_reason) == (True, "length")
    assert answer.take_count() == 7
    assert answer.take_count() is None
    assert Answer().streamed
    assert not Answer().done


def test_halves_of_a_character() -> None:
    """Two in a row are one character; one alone cannot be told and is U+FFFD."""
    assert mended("a\ud83d\ude00b") == "a\U0001f600b"
    assert mended("a\ud83db") == "a\ufffdb"
    assert mended("plain \u00e9") == "plain \u00e9"
