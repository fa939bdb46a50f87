"""What the official SDKs make of each refusal by a limit; `run` prepares and starts it."""

import json
import os
import pathlib
import shutil
import subprocess

import anthropic
import cohere
import groq
import openai
import pytest
from cohere.core.api_error import ApiError
from google import genai
from google.genai import errors, types
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import parse_ratelimit_headers

try:
    from mistralai.client import Mistral
    from mistralai.client.errors import SDKError
except ImportError:
    from mistralai import Mistral
    from mistralai.models import SDKError
from recorder import Recorder

KEY = os.environ.get("LIMITS_KEY", "sk-any")
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}

# Each refusal: its status, and whether the SDKs of OpenAI, Anthropic and Groq try again.
ALL_SCENES = {
    "requests_limit": (429, True),
    "tokens_limit_long": (429, False),
    "parallel_limit": (429, True),
    "budget_exceeded": (402, False),
    "budget_exceeded_403": (403, False),
    "budget_exceeded_429": (429, False),
    "request_exceeds_limit": (400, False),
    "limits_unavailable": (503, True),
    "unpriced_model": (403, False),
    "unmetered_endpoint": (403, False),
    "unbounded_request": (403, False),
    "too_many_failed_keys": (429, True),
}
NAMES = os.environ.get("LIMITS_SCENES", ",".join(ALL_SCENES)).split(",")
SCENES = {name: ALL_SCENES[name] for name in NAMES}
scenes = pytest.mark.parametrize("scene", SCENES)

# The errors of the SDKs that Stainless makes. OpenAI's has none for 402.
OPENAI = {400: "BadRequestError", 402: None, 403: "PermissionDeniedError", 429: "RateLimitError", 503: "InternalServerError"}
ANTHROPIC = OPENAI | {402: "PaymentRequiredError", 503: "ServiceUnavailableError"}


@pytest.fixture(scope="session")
def recorder():
    return Recorder(os.environ.get("LIMITS_REFUSALS"), os.environ.get("LIMITS_SERVER"))


def check(recorder, sdk, scene, status, message, tries_again):
    """Checks what was thrown against what the SDK received."""
    refusals = recorder.refusals[sdk, scene]
    first = refusals[0]
    assert (status, first.status) == (SCENES[scene][0],) * 2
    assert first.message in message
    assert first.headers["x-keygate-refused-by"] == "gateway"
    assert len(refusals) == (2 if tries_again else 1)
    if tries_again:
        waited = refusals[1].came - first.came
        # The lower bound has room for a timer that is early, the upper for a busy machine.
        assert first.wait - 0.02 <= waited <= first.wait + 2


def call_openai(url):
    openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=1).chat.completions.create(**CHAT)


def call_anthropic(url):
    anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=1).messages.create(**CHAT)


def call_groq(url):
    groq.Groq(base_url=url, api_key=KEY, max_retries=1).chat.completions.create(**CHAT)


@scenes
@pytest.mark.parametrize("sdk, call, package, dialect, classes", [
    ("openai", call_openai, openai, "openai", OPENAI),
    ("anthropic", call_anthropic, anthropic, "anthropic", ANTHROPIC),
    ("groq", call_groq, groq, "openai", OPENAI),
])
def test_sdks_of_stainless_wait_as_told_or_do_not_try_again(recorder, scene, sdk, call, package, dialect, classes):
    status, tries_again = SCENES[scene]
    with pytest.raises(package.APIStatusError) as raised:
        call(f"{recorder.url}/{sdk}/{dialect}/{scene}")
    error = raised.value
    check(recorder, sdk, scene, error.status_code, str(error), tries_again)
    assert type(error).__name__ == (classes[status] or "APIStatusError")
    body = error.body.get("error", error.body)
    if scene.startswith("budget_exceeded"):
        kind = {"anthropic": "billing_error", "openai": "insufficient_quota"}[dialect]
        assert (body["type"], body["code"]) == (kind, "budget_exceeded")
        assert error.response.headers["x-keygate-limit-reset"].endswith("Z")
    if sdk == "openai":
        assert error.code == body["code"] and scene.startswith(error.code)


@pytest.fixture(scope="session")
def thrown_on_node(recorder):
    # Node.js finds packages only beside the script.
    script = shutil.copy(pathlib.Path(__file__).parent / "client.mjs", os.environ["SDK_NODE"])
    environment = os.environ | {"URL_": recorder.url, "KEY": KEY, "SCENES": ",".join(SCENES)}
    result = subprocess.run(["node", script], env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return {(error["sdk"], error["scene"]): error for error in json.loads(result.stdout)}


@scenes
@pytest.mark.parametrize("sdk, classes", [("openai-js", OPENAI), ("anthropic-js", ANTHROPIC)])
def test_sdks_of_stainless_on_node_do_the_same(recorder, thrown_on_node, scene, sdk, classes):
    status, tries_again = SCENES[scene]
    error = thrown_on_node[sdk, scene]
    check(recorder, sdk, scene, error["status"], error["message"], tries_again)
    assert error["class"] == (classes[status] or "APIError")
    if scene.startswith("budget_exceeded"):
        assert error["type"] == {"anthropic-js": "billing_error", "openai-js": "insufficient_quota"}[sdk]


@scenes
def test_google_genai_on_node_shows_the_message(recorder, thrown_on_node, scene):
    error = thrown_on_node["genai-js", scene]
    # The message is the body as JSON.
    message = json.loads(error["message"])["error"]["message"]
    check(recorder, "genai-js", scene, error["status"], message, False)
    assert error["class"] == "ApiError"


def call_genai(url, **more):
    options = types.HttpOptions(base_url=url, **more)
    # A client that nothing holds is closed before its request.
    client = genai.Client(api_key=KEY, vertexai=False, http_options=options)
    client.models.generate_content(model="m", contents="Hi", config=types.GenerateContentConfig(max_output_tokens=9))


@scenes
def test_google_genai_shows_status_and_message(recorder, scene):
    with pytest.raises(errors.APIError) as raised:
        call_genai(f"{recorder.url}/genai/google/{scene}")
    error = raised.value
    check(recorder, "genai", scene, error.code, error.message, False)
    quota = scene.startswith("budget_exceeded") or error.code == 429
    expected = "RESOURCE_EXHAUSTED" if quota else {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 503: "UNAVAILABLE"}[error.code]
    assert error.status == expected
    delays = [detail["retryDelay"] for detail in error.details["error"]["details"] if "retryDelay" in detail]
    is_exact = "retry-after-ms" in error.response.headers
    assert len(delays) == is_exact
    if is_exact:
        assert float(delays[0].rstrip("s")) == int(error.response.headers["retry-after-ms"]) / 1000


# A 402 is the only one of the three that also clients leave alone which do not read `x-should-retry`.
@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene.startswith("budget_exceeded")])
def test_google_genai_with_retries_leaves_a_spent_budget_alone_unless_it_is_a_429(recorder, scene):
    retry = types.HttpRetryOptions(attempts=2, initial_delay=0.05, jitter=0.01)
    with pytest.raises(errors.ClientError):
        call_genai(f"{recorder.url}/genai-retries/google/{scene}", retry_options=retry)
    requests = len(recorder.refusals["genai-retries", scene])
    assert requests == (2 if scene == "budget_exceeded_429" else 1)


def call_mistral(url):
    Mistral(api_key=KEY, server_url=url).chat.complete(**CHAT)


def call_cohere(url):
    options = {"max_retries": 0}
    cohere.ClientV2(api_key=KEY, base_url=url).chat(**CHAT, request_options=options)


def call_huggingface(url):
    InferenceClient(base_url=f"{url}/v1", api_key=KEY).chat_completion(**CHAT)


@scenes
@pytest.mark.parametrize("sdk, call, error", [
    ("mistral", call_mistral, SDKError),
    ("cohere", call_cohere, ApiError),
    ("huggingface", call_huggingface, HfHubHTTPError),
])
def test_the_other_sdks_show_the_message(recorder, scene, sdk, call, error):
    with pytest.raises(error) as raised:
        call(f"{recorder.url}/{sdk}/{sdk}/{scene}")
    response = getattr(raised.value, "response", raised.value)
    check(recorder, sdk, scene, getattr(response, "status_code", None), str(raised.value), False)


def test_huggingface_reads_the_standard_headers():
    # As gateway/proxy/limit_headers writes them.
    headers = {
        "ratelimit-policy": '"search_team_requests";q=6000;w=60, "key_input_tokens";q=1000;w=60',
        "ratelimit": '"search_team_requests";r=20;t=60, "key_input_tokens";r=700;t=18',
    }
    told = parse_ratelimit_headers(headers)
    assert (told.resource_type, told.remaining, told.reset_in_seconds) == ("search_team_requests", 20, 60)
    assert (told.limit, told.window_seconds) == (6000, 60)
