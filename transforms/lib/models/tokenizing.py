"""Tokenizers whose time does not grow with what the network never sees: equal tokens, and no more work than they need.

A network reads some 77 tokens of a caption. CLIP's tokenizer takes all of it apart first, a word of n letters in n
squared steps, and remembers every word; those of transformers take a second per megabyte. Here a caption is cut first,
in ways that leave the tokens as they are:

* ftfy and html go line by line, so the first lines are cleaned as they are in the whole.
* No merge of a byte pair encoding crosses the end of a piece of its result. So the tokens before that end are those of
  the text before it. No piece is longer than the longest of the vocabulary, so one of as many neighbouring places in a
  long word is such an end. When the text before each of these places begins with the same tokens, so does the whole.
  The best path of a unigram model has the same property.
* WordPiece has one token for a word of more than 100 letters, whatever they are.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import regex

if TYPE_CHECKING:
    import torch

HEAD = 4096  # characters of a caption that are looked at first
WORD = 64  # letters of a word that CLIP's own code takes apart
CACHED = 1 << 16  # words that are remembered, some 10 MB
_TOO_LONG = 101  # letters by which WordPiece knows that a word is too long
_WINDOWS = 1 << 13  # characters up to which neighbouring places are tried
_SOLID = r"[A-Za-z0-9[^\x00-\x7f\p{Han}\p{M}\p{P}\p{Z}\p{C}]]"  # what BERT neither splits at nor takes out


def heads(text: str) -> Iterator[str]:
    """Yields the beginning of a text up to the end of a line, ever more of it; the whole text last."""
    size = HEAD
    while (end := text.find("\n", size) + 1) and end < len(text):
        yield text[:end]
        size = 8 * end
    yield text


def merged(symbols: Sequence[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Returns the pieces of a byte pair encoding, as CLIP's tokenizer finds them, in n log n steps.

    In each pass the pair of the least rank is merged wherever it is, from left to right.

    Args:
      symbols: of a word.
      ranks: pair -> rank.
    """
    pieces: list[str] = list(symbols)
    after, before = list(range(1, len(pieces) + 1)), list(range(-1, len(pieces) - 1))

    def rank(at: int) -> int | None:
        return ranks.get((pieces[at], pieces[after[at]])) if at >= 0 and after[at] < len(pieces) else None

    heap = [(found, at) for at in range(len(pieces)) if (found := rank(at)) is not None]
    heapq.heapify(heap)
    while heap:
        least, together = heap[0][0], []
        while heap and heap[0][0] == least:
            together.append(heapq.heappop(heap)[1])
        for at in together:
            if not pieces[at] or rank(at) != least:
                continue
            gone = after[at]
            pieces[at], pieces[gone], after[at] = pieces[at] + pieces[gone], "", after[gone]
            if after[at] < len(pieces):
                before[after[at]] = at
            for place in (before[at], at):
                if (found := rank(place)) is not None:
                    heapq.heappush(heap, (found, place))
    return [piece for piece in pieces if piece]


class ClipTokenizer:
    """CLIP's byte pair encoding: the tokens of open_clip's ``SimpleTokenizer``, whose tables it uses."""

    def __init__(self, own: Any) -> None:
        self._own = own
        self._longest = max(len(piece) for piece in own.encoder)
        self._special = set(own.cache)
        self._known: dict[str, list[int]] = {}
        self.context_length: int = own.context_length

    def __call__(self, texts: list[str]) -> torch.Tensor:
        import torch

        own, length = self._own, self.context_length
        found = torch.zeros(len(texts), length, dtype=torch.long)
        for row, text in enumerate(texts):
            tokens = [own.sot_token_id, *self._first(text), own.eot_token_id]
            if len(tokens) > length:
                tokens = [*tokens[: length - 1], own.eot_token_id]
            found[row, : len(tokens)] = torch.tensor(tokens)
        return found

    def _first(self, text: str) -> list[int]:
        """Returns the first tokens of a text, no fewer than the network can see."""
        tokens: list[int] = []
        for head in heads(text):
            tokens = self._tokens(self._own.clean_fn(head))
            if len(tokens) >= self.context_length:
                break
        return tokens

    def _tokens(self, clean: str) -> list[int]:
        tokens, known = list[int](), self._known
        for match in self._own.pat.finditer(clean):
            word = match[0]
            tokens += known.get(word) or self._of_word(word)
            if len(tokens) >= self.context_length:
                break
        return tokens

    def _of_word(self, word: str) -> list[int]:
        own = self._own
        if len(word) > WORD:
            return [own.encoder[piece] for piece in self._long(word)]
        symbols = "".join(own.byte_encoder[byte] for byte in word.encode("utf-8"))
        found = [own.encoder[piece] for piece in own.bpe(symbols).split(" ")]
        if symbols not in self._special:  # what it remembers of itself are the special tokens
            own.cache.pop(symbols, None)
        if len(self._known) >= CACHED:
            self._known.clear()
        self._known[word] = found
        return found

    def _long(self, word: str) -> list[str]:
        """Returns the first pieces of a long word, no fewer than the network can see, or all of them."""
        own, wanted = self._own, self.context_length
        size = 4 * wanted
        while size + self._longest < len(word):  # a letter has one byte or more
            letters = [own.byte_encoder[byte] for byte in word[: size + self._longest].encode("utf-8")]
            parts = [merged(letters[:end], own.bpe_ranks)[:wanted] for end in range(size, size + self._longest)]
            if len(parts[0]) == wanted and all(part == parts[0] for part in parts):
                return parts[0]
            size *= 4
        letters = [own.byte_encoder[byte] for byte in word.encode("utf-8")]
        return merged([*letters[:-1], f"{letters[-1]}</w>"], own.bpe_ranks)


class OtherTokenizer:
    """A tokenizer of transformers in open_clip's wrapper, which gets no more of a text than it needs."""

    def __init__(self, own: Any) -> None:
        self._own, self._clean = own, own.clean_fn
        own.clean_fn = str  # texts are clean when they reach it
        pieces = [str(piece) for piece in own.tokenizer.get_vocab()]
        self._longest = max([_TOO_LONG, *map(len, pieces)])
        model: Any = getattr(getattr(own.tokenizer, "backend_tokenizer", None), "model", None)
        short = type(model).__name__ == "WordPiece" and model.max_input_chars_per_word < _TOO_LONG
        self._solid = regex.compile(f"(?V1){_SOLID}{{{2 * _TOO_LONG},}}+") if short else None
        self._splits = not any(_crosses_space(piece) for piece in pieces)
        self._cuts = getattr(own.tokenizer, "truncation_side", "right") == "right"
        self.context_length: int = own.context_length

    def __call__(self, texts: list[str]) -> torch.Tensor:
        found: torch.Tensor = self._own([self._first(text) for text in texts])
        return found

    def _first(self, text: str) -> str:
        """Returns a clean text, or as much of it as gives the same tokens."""
        clean = ""
        for head in heads(text) if self._cuts else [text]:
            clean = str(self._clean(head))
            if self._cuts and len(clean) > HEAD:
                clean, enough = self._shortened(clean)
                if enough:
                    break
        return clean

    def _shortened(self, clean: str) -> tuple[str, bool]:
        """Returns a text, or its beginning, and whether that has more tokens than the network sees."""
        if self._solid is not None:
            clean = " ".join(self._known(word) if len(word) > 2 * _TOO_LONG else word for word in clean.split(" "))
        size = 8 * self.context_length
        while size + self._longest < len(clean) and size < _WINDOWS:
            space = clean.find(" ", size, size + self._longest) if self._splits else -1
            ends = [space] if space > 0 else range(size, size + self._longest)
            parts = self._ids([clean[:end] for end in ends])
            if len(parts[0]) == self.context_length and all(part == parts[0] for part in parts):
                return clean[: ends[-1]], True
            size *= 4
        return clean, False

    def _known(self, word: str) -> str:
        assert self._solid is not None
        return str(self._solid.sub(lambda run: run[0][: 2 * _TOO_LONG], word))

    def _ids(self, texts: list[str]) -> list[list[int]]:
        """Returns the first tokens of texts, special ones left out."""
        limits = {"truncation": True, "max_length": self.context_length, "padding": False}
        rows = self._own.tokenizer(texts, add_special_tokens=False, **limits).input_ids
        return [list(row) for row in rows]


def _crosses_space(piece: str) -> bool:
    """Returns whether a piece of a vocabulary goes on behind a space, of which there are three spellings."""
    plain = piece.replace("\u2581", " ").replace("\u0120", " ")
    return " " in plain.lstrip(" ")


def bounded(own: Any) -> Callable[[list[str]], torch.Tensor]:
    """Returns a tokenizer of open_clip that gives the same tokens for less work; any other as it is."""
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    if isinstance(own, SimpleTokenizer) and own.reduction_fn is None:
        return ClipTokenizer(own)
    if isinstance(own, HFTokenizer):
        return OtherTokenizer(own)
    found: Callable[[list[str]], torch.Tensor] = own
    return found
