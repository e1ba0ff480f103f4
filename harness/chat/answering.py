"""One answer under way: a request sent as a load sends it, and its text for those who look on.

The request runs in a greenlet of its own (`harness.client`). Whoever iterates over `pieces` looks at what has come, twenty times
a second, in theirs. The record is made when the response has ended, of what the engine stamped; looking on has no part in it.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Final

import gevent

from harness.backends.base import Ask
from harness.chat.follow import Follow, Piece
from harness.client import Client
from harness.clock import now_ns
from harness.exchange import Exchange
from harness.leave import Slot
from harness.record import Phase, RequestRecord, TokenSource
from harness.uncounted import count_missing

__all__ = ["TICK_S", "Answering", "Result"]

TICK_S: Final = 0.05
_SLOT: Final = Slot(level=1, repeat=1, phase=Phase.MEASURE)  # the record is nobody's but the chat's


@dataclass(frozen=True, slots=True)
class Result:
    """One answer, whole or as far as it came."""

    record: RequestRecord  # its tokens estimated where the server did not count them
    answer: str
    reasoning: str
    is_other: bool  # the pieces given out are not the answer's beginning: it is to be shown anew


class Answering:
    """Sends one request when its pieces are asked for."""

    def __init__(self, client: Client, ask: Ask) -> None:
        self._client = replace(client, keep=self._keep)
        self._ask = ask
        self._follow = Follow(client.backend)
        self._exchange: Exchange | None = None
        self._record: RequestRecord | None = None
        self._spoken: str | None = None  # None: it was stopped, or has not ended
        self._given: tuple[list[str], list[str]] = ([], [])
        self._is_stopping = False

    def stop(self) -> None:
        """Give the request up at the next look; what has come stays. Safe in a signal handler."""
        self._is_stopping = True

    def pieces(self) -> Generator[Piece, None, None]:
        """The text as it comes; an empty piece where nothing has come for a tick. Closing it gives the request up."""
        sending = gevent.spawn(self._send)
        try:
            while not sending.ready():
                sending.join(timeout=TICK_S)
                if self._is_stopping:
                    sending.kill()
                yield self._look()
            sending.get()  # raises what is a fault of ours
            while self._follow.is_behind and not self._follow.is_over:
                yield self._look()
                self._client.engine.give_way()
            yield self._rest()
        finally:
            sending.kill()

    @property
    def result(self) -> Result:
        """To be asked for when the pieces have come to their end."""
        if self._record is None:
            raise RuntimeError("the answer has not ended")
        answer, reasoning = ("".join(given) for given in self._given)
        whole = answer if self._spoken is None else self._spoken
        counted = count_missing(self._record, None, TokenSource.ESTIMATED)
        return Result(counted, whole, reasoning, is_other=whole != answer)

    def _send(self) -> None:
        self._client.run(
            self._ask,
            _SLOT,
            name="chat",
            scheduled_ns=now_ns(),
            prompt_tokens=None,
            hear=self._hear,
            watch=self._watch,
        )

    def _watch(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def _keep(self, record: RequestRecord, _exchange: Exchange) -> None:
        self._record = record

    def _hear(self, _record: RequestRecord, spoken: str) -> None:
        self._spoken = spoken

    def _look(self) -> Piece:
        return self._out(self._follow.look(self._exchange.received)) if self._exchange else Piece("", "")

    def _rest(self) -> Piece:
        """What has not been given out: of an answer that was not streamed, all of it."""
        if self._exchange is None or self._record is None:
            return Piece("", "")
        piece = self._out(self._follow.finish(self._exchange.received))
        spoken, record = self._spoken, self._record
        if spoken is None or record.streamed or any(self._given[0]):
            return piece
        whole = record.text or ""
        return self._out(Piece(spoken, whole.removesuffix(spoken) if whole.endswith(spoken) else ""))

    def _out(self, piece: Piece) -> Piece:
        for given, text in zip(self._given, piece, strict=True):
            if text:
                given.append(text)
        return piece
