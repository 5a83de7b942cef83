"""Whether a teacher's servers are there, have the model and answer as they should, before many are asked."""

from dataclasses import dataclass

from verl_coder.errors import TeacherError
from verl_coder.teacher.client import TeacherClient
from verl_coder.teacher.options import GenerateOptions
from verl_coder.teacher.replies import FailedReplyError
from verl_coder.words import did_you_mean

SMALL_QUESTION = "What is 17 + 25? Answer with the number alone."
CODE_QUESTION = (
    "Write a Python function double(x) that returns twice x. Answer with one ```python code block."
)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """What a server said to one small question."""

    url: str
    models: tuple[str, ...] | None
    answer: str
    thinking: str
    thinking_field: str
    seconds: float
    completion_tokens: int


async def check_servers(client: TeacherClient, model: str) -> dict[str, list[str] | None]:
    """The models of every server; TeacherError where one is not there, refuses the key or lacks the model."""
    found = {}
    for url in client.urls:
        models = await client.models(url)
        if models is not None and model not in models:
            known = did_you_mean(model, models, f"it has {', '.join(models) or 'none'}")
            raise TeacherError(f"{url} has no model {model!r}: {known} (--model)")
        found[url] = models
    return found


async def probe(options: GenerateOptions, question: str = SMALL_QUESTION) -> list[Connection]:
    """One small question to each server; TeacherError says what is wrong."""
    connections = []
    for url in options.base_url:
        async with options.probe_client(url) as client:
            models = (await check_servers(client, options.model))[client.urls[0]]
            body = options.sampling.body([{"role": "user", "content": question}])
            try:
                completion = await client.complete(body)
            except FailedReplyError as error:
                raise TeacherError(f"{url} does not answer a small question: {error.why}") from error
        reply = completion.reply
        connections.append(
            Connection(
                url=url,
                models=None if models is None else tuple(models),
                answer=reply.content,
                thinking=reply.thinking,
                thinking_field=reply.thinking_field,
                seconds=completion.seconds,
                completion_tokens=reply.completion_tokens,
            )
        )
    return connections
