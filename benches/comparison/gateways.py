"""The gateways in Python and JavaScript, which translate requests: far slower, and measured only on request.

LiteLLM keeps keys in Postgres; a hook of its own (`custom_auth`), which looks up the key in a set of 1,000, is used
instead. Portkey's open gateway has no keys: each client sends the provider and its token with the request. It therefore
does less than the others do; and its release on npm fails all streams with Node 20. Neither takes part in measures of a rate or a number that it cannot reach.
"""

import json
import os
import secrets

from comparison.work import HEAD, KEYS

GATEWAYS = {"litellm", "portkey"}
# portkey-ai/gateway 1.15.2 responds to them with 500, as it changes headers that Node has made immutable.
WITHOUT_STREAMS = {"portkey"}

LITELLM_AUTH = '''
from litellm.proxy._types import ProxyException, UserAPIKeyAuth

KEYS = {name: f"client{number}" for number, name in enumerate(open(FILE).read().split())}


async def look_up(request, api_key):
    client = KEYS.get(api_key)
    if client is None:
        raise ProxyException(message="unknown key", type="auth_error", param="key", code=401)
    return UserAPIKeyAuth(api_key=api_key, user_id=client)
'''


class Gateways:
    def litellm_proxy(self, cores, provider, tls, threads):
        port, folder = self.free_port(), self.folder / f"litellm-{self.started}"
        self.started += 1
        folder.mkdir()
        (folder / "hook.py").write_text(LITELLM_AUTH.replace("FILE", repr(str(self.folder / "keys"))))
        assert not tls and (self.folder / "keys").read_text().count("\n") == KEYS
        (folder / "config.yaml").write_text(json.dumps({
            "model_list": [{"model_name": "gpt-4o", "litellm_params": {
                "model": "openai/gpt-4o", "api_base": f"http://127.0.0.1:{provider}/v1", "api_key": "provider-token"}}],
            "general_settings": {"custom_auth": "hook.look_up"},
            "litellm_settings": {"telemetry": False, "num_retries": 0},
        }))
        self.heads[port] = "/v1/chat/completions", HEAD[1]
        command = [self.tools["litellm"], "--config", folder / "config.yaml", "--host", "127.0.0.1", "--port", port, "--num_workers", threads]
        # LiteLLM downloads its table of prices when it starts, unless told to use its own.
        environment = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "PYTHONPATH": str(folder)}
        # It does not start without a master key, which the hook does not accept.
        environment["LITELLM_MASTER_KEY"] = f"sk-{secrets.token_hex(32)}"
        with (folder / "log").open("w") as log:
            return self.start(cores, command, stdout=log, stderr=log, env=environment, cwd=folder), port

    def portkey_proxy(self, cores, provider, tls, threads):
        assert not tls and threads == 1
        port = self.free_port()
        self.heads[port] = "/v1/chat/completions", HEAD[1] | {
            "authorization": "Bearer provider-token", "x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{provider}/v1"}
        with open(os.devnull, "wb") as null:
            return self.start(cores, [self.tools["node"], self.tools["portkey"], f"--port={port}", "--headless"], stdout=null, stderr=null), port
