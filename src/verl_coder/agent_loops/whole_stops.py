"""Generation that ends at the first stop string, also where a sync of the weights falls into it.

In the asynchronous modes a sync aborts a request, and verl's client goes on with the prompt and the tokens so far. vLLM
looks for stop strings in new text alone: of one that was cut in two it sees neither half, and the model writes on.
"""

from typing import Any

from verl.workers.rollout.replica import TokenOutput


class WholeStops:
    """Stands before a client of verl's and cuts what it returns behind the first stop string, as vLLM does."""

    def __init__(self, client: Any, tokenizer: Any) -> None:
        self._client, self._tokenizer = client, tokenizer

    async def generate(self, *args: Any, sampling_params: dict[str, Any], **kwargs: Any) -> TokenOutput:
        """`client.generate`; for stop strings that are part of the answer (`include_stop_str_in_output`)."""
        output: TokenOutput = await self._client.generate(*args, sampling_params=sampling_params, **kwargs)
        surplus = len(output.token_ids) - self._kept(output.token_ids, sampling_params.get("stop") or [])
        if surplus:
            output.token_ids = output.token_ids[:-surplus]
            output.log_probs = output.log_probs and output.log_probs[:-surplus]
            if output.routed_experts is not None:
                output.routed_experts = output.routed_experts[:-surplus]
            output.stop_reason = "completed"
        return output

    def _kept(self, token_ids: list[int], stops: list[str]) -> int:
        """How many tokens there are up to the one that completes a stop string; all where none is whole."""

        def is_whole(count: int) -> bool:
            text = self._tokenizer.decode(token_ids[:count])
            return any(stop in text for stop in stops)

        # Most answers end with the token that completes it: nothing is to be looked for.
        if not stops or not is_whole(len(token_ids)) or not is_whole(len(token_ids) - 1):
            return len(token_ids)
        least, most = 1, len(token_ids)
        while least < most:
            middle = (least + most) // 2
            least, most = (least, middle) if is_whole(middle) else (middle + 1, most)
        return most
