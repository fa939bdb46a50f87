"""The official `openai` SDK, unmodified, against `keygate demo`.

    python tests/sdk/openai_demo.py path/to/keygate

Starts the demo on free ports, and ends it. An exception means failure.
"""

import re
import signal
import subprocess
import sys

import openai


def start(binary):
    command = [binary, "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--pace", "5ms"]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    output = ""
    while "Ctrl-C" not in output:
        line = demo.stdout.readline()
        assert line, f"the demo ended: {output}"
        output += line
    base_url, key = re.search(r'OpenAI\(base_url="([^"]+)", api_key="([^"]+)"\)', output).groups()
    return demo, base_url, key


def main(binary):
    demo, base_url, key = start(binary)
    try:
        client = openai.OpenAI(base_url=base_url, api_key=key)
        messages = [{"role": "user", "content": "Say hello"}]

        chat = client.chat.completions.create(model="sandbox-1", messages=messages)
        text = chat.choices[0].message.content
        assert "Bearer provider-token-" in text, text
        assert key not in chat.model_dump_json(), "the client's key reached the provider"
        assert chat.usage.prompt_tokens == 2, chat.usage
        print("chat:", text)

        parts = []
        stream = client.chat.completions.create(
            model="sandbox-1", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        usage = None
        for chunk in stream:
            usage = chunk.usage or usage
            parts += [choice.delta.content or "" for choice in chunk.choices]
        assert "".join(parts) == text, parts
        assert usage.prompt_tokens == 2, usage
        print("stream:", len(parts), "chunks")

        vectors = client.embeddings.create(model="sandbox-1", input=["one", "two"])
        assert [len(item.embedding) for item in vectors.data] == [8, 8]
        assert vectors.data[0].embedding != vectors.data[1].embedding
        print("embeddings:", vectors.data[0].embedding[:2])

        models = [model.id for model in client.models.list()]
        assert models == ["sandbox-1"], models

        asynchronous(base_url, key, messages, text)

        for wrong in ["wrong", key[:-1] + "x"]:
            try:
                openai.OpenAI(base_url=base_url, api_key=wrong).models.list()
            except openai.AuthenticationError as error:
                assert error.status_code == 401 and error.code == "invalid_api_key", error
                assert error.request_id, "no request id"
                print("wrong key:", error)
            else:
                raise AssertionError("a wrong key was let in")
        try:
            openai.OpenAI(base_url=base_url, api_key=key).get("/nothing", cast_to=object)
        except openai.NotFoundError as error:
            print("not found:", error.status_code)
    finally:
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=10) == 0


def asynchronous(base_url, key, messages, expected):
    import asyncio

    async def request():
        async with openai.AsyncOpenAI(base_url=base_url, api_key=key) as client:
            requests = [client.chat.completions.create(model="sandbox-1", messages=messages) for _ in range(20)]
            return [chat.choices[0].message.content for chat in await asyncio.gather(*requests)]

    texts = asyncio.run(request())
    assert texts == [expected] * 20, texts
    print("async:", len(texts), "at once")


main(sys.argv[1])
