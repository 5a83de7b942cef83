"""What the teacher may cost: requests, tokens, money. Earlier starts of the same command count."""

from dataclasses import dataclass

_MILLION = 1_000_000


class BudgetSpentError(Exception):
    """No further request may be sent; the message says which limit is reached."""


@dataclass(kw_only=True)
class Budget:
    """Limits, None = none, and what is spent; requests in flight may go beyond a limit of tokens or money."""

    max_requests: int | None = None
    max_tokens: int | None = None
    """Of prompts and answers together."""
    max_cost: float | None = None
    price_in: float = 0.0
    """Per million tokens of prompts, in the currency of `max_cost`."""
    price_out: float = 0.0
    """Per million tokens of answers."""
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    without_usage: int = 0
    """Answers of this start whose server did not say their tokens: they are in no sum."""

    @property
    def limits_tokens(self) -> bool:
        """Whether a limit needs to know the tokens of every answer."""
        return self.max_tokens is not None or self.max_cost is not None

    @property
    def cost(self) -> float:
        """In the currency of the prices."""
        return (self.prompt_tokens * self.price_in + self.completion_tokens * self.price_out) / _MILLION

    @property
    def tokens(self) -> int:
        """Of prompts and answers."""
        return self.prompt_tokens + self.completion_tokens

    def begin_request(self) -> None:
        """Count a request that is about to be sent; BudgetSpentError instead where a limit is reached."""
        if self.max_requests is not None and self.requests >= self.max_requests:
            raise BudgetSpentError(f"{self.requests} requests are sent (--max-requests)")
        if self.max_tokens is not None and self.tokens >= self.max_tokens:
            raise BudgetSpentError(f"{self.tokens} tokens are used (--max-total-tokens)")
        if self.max_cost is not None and self.cost >= self.max_cost:
            raise BudgetSpentError(f"{self.cost:.2f} is spent (--max-cost)")
        self.requests += 1

    def add(self, usage: tuple[int, int]) -> None:
        """Count the (prompt, completion) tokens of an answer."""
        self.prompt_tokens += usage[0]
        self.completion_tokens += usage[1]
