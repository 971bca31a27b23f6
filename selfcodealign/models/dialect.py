"""What one server takes and how it answers, learnt from its refusals and answers.

Servers differ: some refuse `seed` or fields that they do not know, some take few stop strings, some repeat the prompt
in front of the completion, some tell of cached tokens only where there are any. What is learnt from one request holds
for all later ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from selfcodealign.models.forms import CONTINUE

if TYPE_CHECKING:
    from selfcodealign.models.completions_api import Written

#: What a request means without: the rest of the fields decides what the text is.
_NEEDED = ("model", "prompt", "messages", "max_tokens", "temperature", "stop")
#: Another name for `max_tokens`, which newer servers ask for in their refusals.
_MOST_TOKENS = "max_completion_tokens"
#: What adds to an answer and changes no text: left out after any refusal that names it, whatever is wrong with it.
ADDED = "logprobs"
_TOP = "top_logprobs"
#: How servers tell that they cannot go on with a message of the assistant.
_NO_PREFILL = re.compile(rf"\b{CONTINUE}\b|\bpre-?fill", re.IGNORECASE)
#: A field that is named as unknown, or as known with a wrong value. Only the first is left out.
_UNKNOWN = re.compile(
    r"not (?:be )?(?:supported|permitted|allowed|recogni[sz]ed|accepted|available|implemented)|un(?:supported|known|"
    r"recogni[sz]ed|expected)|(?:does not|doesn't|cannot|can't) (?:support|accept|take|allow|have|be)|no such|extra"
    r"|additional|invalid (?:field|parameter|argument|request argument)"
    r"|not a valid (?:field|parameter|argument)|disabled|refuse",
    re.IGNORECASE,
)
_BELOW_ONE = re.compile(r"(?:<|less than) ?1(?:\.0)?\b")
_NUMBERS = {"one": 1, "single": 1, "two": 2, "three": 3, "four": 4, "five": 5, "eight": 8, "sixteen": 16}
_MOST_STOPS = re.compile(
    r"(?:at most|up to|maximum|max|no more than|more than|limit|limited to|only|exceeds?|expected)\D{0,40}?"
    rf"\b(\d+|{'|'.join(_NUMBERS)})\b",
    re.IGNORECASE,
)
_STOP_NAMED = re.compile(r"\bstop(?:[ _-](?:sequence|string|word))?s?\b", re.IGNORECASE)
_STOP_WRONG = re.compile(r"too (?:many|long)|(?:must|should) be|invalid|valid (?:string|list)", re.IGNORECASE)
#: OpenAI's limit, tried where a server does not name its own.
_USUAL_STOPS = 4
#: Characters from which a text that begins with the prompt is taken for an echo.
_LONG_PROMPT = 200


@dataclass
class Dialect:
    """What one server refuses and adds. `most_stops`: stop strings it takes; None while it has refused none.

    `together`: whether it has given several texts for one request; None before it was asked for them.
    """

    omitted: set[str] = field(default_factory=set)
    most_stops: int | None = None
    echoes: bool = False
    renames: bool = False
    tells_cached: bool = False
    together: bool | None = None
    refusals: int = 0

    @property
    def one_by_one(self) -> bool:
        """Whether requests for several texts are no use."""
        return self.together is False or "stream" in self.omitted

    def learn_together(self, given: bool, *, sure: bool = True) -> str:
        """Several texts were asked for in one request, and `given` or not; returns a sentence when it is learnt.

        A server that has given them fails for another reason; a first refusal may have one, too: it is not `sure`.
        """
        self.refusals += not given
        if given or self.together is not None or (not sure and self.refusals < 2):
            self.together = True if given else self.together
            return ""
        self.together = False
        return "it gives no several texts for one request: asked one by one"

    def adapt(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return a request that the server takes. Stop strings beyond the first ones are cut from its answers."""
        adapted = {name: value for name, value in body.items() if name not in self.omitted}
        if "stream" not in adapted:
            adapted.pop("stream_options", None)
        if ADDED not in adapted:
            adapted.pop(_TOP, None)
        if self.renames:
            adapted[_MOST_TOKENS] = adapted.pop("max_tokens")
        if self.most_stops is not None and "stop" in adapted:
            stops = adapted.pop("stop")[: self.most_stops]
            if stops:
                adapted["stop"] = stops[0] if self.most_stops == 1 else stops
        return adapted

    def learn(self, told: str, sent: dict[str, Any]) -> tuple[bool, str]:
        """Return whether the refusal of the request `sent` names something to leave out, and a sentence about it.

        The sentence is "" if an earlier refusal has taught the same.
        """
        if "max_tokens" in sent and re.search(rf"\b{_MOST_TOKENS}\b", told):
            said = "" if self.renames else f"it wants {_MOST_TOKENS}: asked with it"
            self.renames = True
            return True, said
        if CONTINUE in sent and _NO_PREFILL.search(told):
            return True, self._omit({CONTINUE})
        names = {name for name in sent if name not in _NEEDED and re.search(_words_for(name), told)}
        if ADDED in names:
            names.discard(_TOP)
        if names and (_UNKNOWN.search(told) or names == {ADDED}):
            return True, self._omit(names)
        # TGI refuses the limit that keeps every token; without a limit, it keeps every token.
        if names == {"top_p"} and sent["top_p"] >= 1 and _BELOW_ONE.search(told):
            return True, self._omit(names)
        wrong = any(words.search(told) for words in (_MOST_STOPS, _STOP_WRONG, _UNKNOWN))
        if wrong and "stop" in sent and _STOP_NAMED.search(told):
            return self._learn_stops(told, [sent["stop"]] if isinstance(sent["stop"], str) else sent["stop"])
        return False, ""

    def _omit(self, names: set[str]) -> str:
        new = names - self.omitted
        self.omitted |= new
        return f"it refuses {' and '.join(sorted(new))}: asked without" if new else ""

    def _learn_stops(self, told: str, sent: list[str]) -> tuple[bool, str]:
        found = _MOST_STOPS.search(told)
        number = (_NUMBERS.get(found[1].lower()) or int(found[1])) if found else _USUAL_STOPS
        # A number that does not explain the refusal is not the limit: one string less each time ends at none.
        usual = [most for most in (number, _USUAL_STOPS, 1, 0) if most < len(sent)]
        most = usual[0]
        if self.most_stops is not None and self.most_stops <= most:
            return True, ""
        self.most_stops = most
        taken = f"only {most} stop string{'s' * (most != 1)}" if most else "no stop strings"
        return True, f"it takes {taken}: the text is cut here at the others"

    def cut_echo(self, text: str, prompt: str) -> tuple[str, str]:
        """Cut the prompt off a text that begins with it; and a sentence about it, the first time."""
        begun, asked = text.lstrip(), prompt.lstrip()
        if not asked or not begun.startswith(asked) or not (self.echoes or len(asked) >= _LONG_PROMPT):
            return text, ""
        said = "" if self.echoes else "it repeats the prompt in front of its answers: the prompt is cut off"
        self.echoes = True
        return begun[len(asked) :], said

    def complete_counts(self, written: Written) -> Written:
        """Some servers leave the number of cached tokens out where it is 0: known once they have told one."""
        if written.cached_tokens is not None:
            self.tells_cached = True
        elif self.tells_cached and written.prompt_tokens:
            return replace(written, cached_tokens=0)
        return written

    def describe(self) -> list[str]:
        """What is done differently for this server, in words."""
        found = [f"without {name}" for name in sorted(self.omitted)]
        if self.most_stops is not None:
            found.append(f"with {self.most_stops} stop strings, cut at the others")
        if self.renames:
            found.append(f"with {_MOST_TOKENS}")
        return found + ["its echo of the prompt cut off"] * self.echoes


def _words_for(name: str) -> str:
    """How a refusal names a field: as it is written, a stream and log-probabilities by what they are."""
    spoken = {"stream": r"(?i)\bstream(ing|ed|s)?\b", ADDED: r"(?i)log[ -]?prob"}
    return spoken.get(name, rf"\b{name}\b")
