"""What clients send, and what providers respond: the same for each proxy."""

import json

KEYS = 1000
# Prompts in bytes of a request's whole body. benches/guided trains with other sizes.
SIZES = [300, 8_000, 16_000, 30_000, 60_000, 120_000, 256_000]


def key(number):
    return f"kg-bench-{number:04}-" + "k" * 40


# The path and the headers of a request.
HEAD = "/openai", {"authorization": f"Bearer {key(KEYS // 2)}", "content-type": "application/json"}


def body(size, prompt="", stream=False):
    """A chat request of `size` bytes whose prompt begins with `prompt`."""
    request = {"model": "gpt-4o"} | ({"stream": True} if stream else {}) | {"messages": [{"role": "user", "content": prompt}]}
    text = json.dumps(request, separators=(",", ":"))
    return text.replace(prompt + '"}]}', prompt + "x" * (size - len(text)) + '"}]}')


def ordered(size, events=0, pace_us=0, size_of_response=0):
    """A request that tells the provider of benches/parts/load what to respond: events, or a response of a size.

    The order is in the prompt, because gateways that translate pass on nothing else that they do not know.
    """
    return body(size, f"{events} {pace_us} {size_of_response} ", stream=not size_of_response)


def response(size):
    """A chat completion of `size` bytes."""
    parts = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1727967462, "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "@"}, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 60, "completion_tokens": 90, "total_tokens": 150},
    }
    text = json.dumps(parts, separators=(",", ":"))
    return text.replace("@", "y" * (size - len(text) + 1))


RESPONSE = response(700)
assert len(RESPONSE) == 700 and all(len(body(size)) == len(ordered(size, 3, 1)) == size for size in SIZES)


def script_of_wrk(head, content):
    path, headers = head
    # Lua's long strings need no escapes; a header may contain JSON.
    lines = [f"wrk.headers['{name}'] = [==[{value}]==]" for name, value in headers.items()]
    return "\n".join(["wrk.method = 'POST'", f"wrk.path = '{path}'", f"wrk.body = [==[{content}]==]", *lines]) + "\n"


def name_of(size):
    return f"{size / 1000:g} KB"
