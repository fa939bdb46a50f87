"""How each proxy is configured for the job. Each method starts a proxy, and returns its process and its port."""

import hashlib
import json
import os

from comparison.work import KEYS, key


def private(path, flags):
    return os.open(path, flags, 0o600)


class Proxies:
    def nginx_proxy(self, cores, provider, tls, threads):
        keys = "".join(f'"Bearer {key(n)}" client{n};\n' for n in range(KEYS))
        secure = f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {self.folder}/cert.pem; proxy_ssl_name provider.test; proxy_ssl_server_name on;"
        http = f"""
            map_hash_bucket_size 128; map_hash_max_size 8192;
            map $http_authorization $client {{ default ""; {keys} }}
            log_format line escape=json '{{"time":"$time_iso8601","key":"$client","status":$status,"duration":$request_time,"bytes":$body_bytes_sent}}';
            upstream provider {{ server 127.0.0.1:{provider}; keepalive 1024; keepalive_requests 100000000; }}
            server {{
                listen 127.0.0.1:PORT backlog=4096; access_log /dev/null line;
                location /openai {{
                    if ($client = "") {{ return 401; }}
                    rewrite ^/openai$ /v1/chat/completions break;
                    proxy_pass {"https" if tls else "http"}://provider; proxy_http_version 1.1; {secure if tls else ""}
                    proxy_buffering off; proxy_read_timeout 900s;
                    proxy_set_header Connection ""; proxy_set_header Host provider.test;
                    proxy_set_header Authorization "Bearer provider-token"; proxy_set_header api-key "";
                    proxy_set_header x-api-key ""; proxy_set_header Cookie "";
                }}
            }}"""
        return self.nginx(cores, http, threads)

    def haproxy_proxy(self, cores, provider, tls, threads):
        port = self.free_port()
        keys = self.file("keys.map", "".join(f"{key(n)} client{n}\n" for n in range(KEYS)))
        secure = f"ssl verify required ca-file {self.folder}/cert.pem sni str(provider.test) verifyhost provider.test" if tls else ""
        conf = self.file(
            "haproxy.cfg",
            f"""
global
    nbthread {threads}
    log stdout format raw local0
defaults
    mode http
    option http-no-delay
    timeout connect 5s
    timeout client 900s
    timeout server 900s
frontend clients
    bind 127.0.0.1:{port} backlog 4096
    log global
    log-format '{{"time":"%t","key":"%[var(txn.client)]","status":%ST,"duration":%Ta,"bytes":%B}}'
    http-request set-var(txn.client) req.hdr(authorization),regsub(^Bearer\\ ,),map_str({keys})
    http-request deny deny_status 401 unless {{ var(txn.client) -m found }}
    http-request set-path /v1/chat/completions
    http-request set-header authorization "Bearer provider-token"
    http-request set-header host provider.test
    http-request del-header api-key
    http-request del-header x-api-key
    http-request del-header cookie
    default_backend provider
backend provider
    http-reuse always
    server provider 127.0.0.1:{provider} {secure}
""",
        )
        with open(os.devnull, "wb") as null:
            return self.start(cores, [self.tools["haproxy"], "-q", "-f", conf], stdout=null, stderr=null), port

    def relay_proxy(self, cores, provider, tls, threads):
        port = self.free_port()
        timeouts = "timeout connect 5s\ntimeout client 900s\ntimeout server 900s"
        conf = self.file(
            "relay.cfg",
            f"global\nnbthread {threads}\ndefaults\nmode tcp\n{timeouts}\n"
            f"listen clients\nbind 127.0.0.1:{port} backlog 4096\nserver provider 127.0.0.1:{provider}\n",
        )
        with open(os.devnull, "wb") as null:
            return self.start(cores, [self.tools["haproxy"], "-q", "-f", conf], stdout=null, stderr=null), port

    def envoy_proxy(self, cores, provider, tls, threads):
        port = self.free_port()
        cluster = {
            "name": "provider", "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": {"cluster_name": "provider", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {
                "socket_address": {"address": "127.0.0.1", "port_value": provider}}}}]}]},
            "circuit_breakers": {"thresholds": [{"max_connections": 30000, "max_requests": 30000, "max_pending_requests": 30000}]},
        }
        if tls:
            cluster["transport_socket"] = {"name": "tls", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni": "provider.test",
                "common_tls_context": {"validation_context": {"trusted_ca": {"filename": f"{self.folder}/cert.pem"}}}}}
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "clients", "stream_idle_timeout": "900s",
            "access_log": [{"name": "file", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": "/dev/null",
                "log_format": {"json_format": {"time": "%START_TIME%", "status": "%RESPONSE_CODE%", "duration": "%DURATION%", "bytes": "%BYTES_SENT%"}}}}],
            "http_filters": [
                {"name": "envoy.filters.http.api_key_auth", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
                    "credentials": [{"key": key(n), "client": f"client{n}"} for n in range(KEYS)],
                    "key_sources": [{"header": "Authorization"}]}},
                {"name": "envoy.filters.http.router", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}},
            ],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{
                "match": {"prefix": "/openai"},
                "route": {"cluster": "provider", "prefix_rewrite": "/v1/chat/completions", "host_rewrite_literal": "provider.test", "timeout": "0s"},
                "request_headers_to_add": [{"header": {"key": "authorization", "value": "Bearer provider-token"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
                "request_headers_to_remove": ["api-key", "x-api-key", "cookie"]}]}]},
        }
        conf = {"static_resources": {
            "listeners": [{"name": "clients", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                           "tcp_backlog_size": 4096,
                           "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
            "clusters": [cluster]}}
        conf = self.file("envoy.json", json.dumps(conf))
        command = [self.tools["envoy"], "-c", conf, "--concurrency", threads, "--disable-hot-restart", "-l", "error"]
        return self.start(cores, command, stderr=(self.folder / "envoy.log").open("w")), port

    def bare_proxy(self, cores, provider, tls, threads, program="bare"):
        port = self.free_port()
        command = [self.built / "examples" / program, f"127.0.0.1:{port}", f"127.0.0.1:{provider}", threads, self.folder / "keys"]
        with open(os.devnull, "wb") as null:
            return self.start(cores, command, stderr=null), port

    def bare_plain_proxy(self, *arguments):
        return self.bare_proxy(*arguments, program="bare-plain")

    def keygate_proxy(self, cores, provider, tls, threads, lean=False, program="keygate"):
        port, folder = self.free_port(), self.folder / f"keygate-{self.started}"
        self.started += 1
        folder.mkdir()
        digest = lambda n: hashlib.sha256(key(n).encode()).hexdigest()
        team = 'labels = { team = "search" }'
        with open(folder / "keys.toml", "w", opener=private) as file:
            file.writelines(f'[[key]]\nid = "client{n}"\nhashes = ["sha256:{digest(n)}"]\n{team}\n' for n in range(KEYS))
        conf = folder / "gateway.toml"
        secure = f'ca = "{self.folder}/cert.pem"\nsni = "provider.test"\n' if tls else ""
        conf.write_text(
            f'[server]\nlisten = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{self.free_port()}"\nthreads = {threads}\n'
            f'access_log = {"false" if lean else "true"}\nlimits.requests_per_connection = 100000000\n'
            f'[providers.p]\nkind = "openai"\nbase_url = "http{"s" if tls else ""}://127.0.0.1:{provider}/v1"\n'
            f'token = "inline:provider-token"\n{secure}[providers.p.timeouts]\nidle = "10m"\n'
            f'[[routes]]\nname = "openai"\npath = "/openai"\nprovider = "p"\n' + ('meter_streams = "off"\n' if lean else "")
        )
        with open(os.devnull, "wb") as null:
            return self.start(cores, [self.built / program, "run", "--allow-root", "--config", conf], stdout=null, stderr=(self.folder / "keygate.log").open("a")), port

    def keygate_off_proxy(self, *arguments):
        return self.keygate_proxy(*arguments, lean=True)

    def keygate_bolt_proxy(self, *arguments):
        return self.keygate_proxy(*arguments, program="keygate-bolt")

    def keygate_plain_proxy(self, *arguments):
        return self.keygate_proxy(*arguments, program="keygate-plain")
