#!/usr/bin/env bash
# 1,000 reloads under load: no request may be lost, and none may be served by a mix of two configurations.
#
#   tests/load/reloads.sh path/to/keygate [reloads]
#
# nginx is the provider, wrk the client, all on loopback. Two configurations alternate, with different tokens for the
# same key. The provider responds with 200 to either token and 500 to anything else, which shows a request with neither.
set -euo pipefail
keygate=$(realpath "$1")
reloads=${2:-1000}
folder=$(mktemp -d)
children=()
cleanup() {
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap cleanup EXIT
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
provider=$(free_port)

cat >"$folder/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $folder/nginx.pid; error_log $folder/nginx.log;
events { worker_connections 1024; }
http {
    access_log off; keepalive_requests 1000000;
    map \$http_authorization \$status_of { "Bearer token-a" 200; "Bearer token-b" 200; default 500; }
    server {
        listen 127.0.0.1:$provider;
        client_body_temp_path $folder;
        location / { if (\$status_of = 500) { return 500; } default_type application/json; return 200 '{"ok":true}'; }
    }
}
CONF
/usr/sbin/nginx -e "$folder/nginx.log" -c "$folder/nginx.conf" -p "$folder" & children+=($!)

configuration() { # token
    cat >"$folder/gateway.toml.new" <<CONF
[server]
listen = "127.0.0.1:0"
admin  = "127.0.0.1:0"
access_log = false
[providers.p]
kind = "custom"
base_url = "http://127.0.0.1:$provider"
token = "inline:token-$1"
[[routes]]
name = "r"
path = "/p"
provider = "p"
CONF
    mv "$folder/gateway.toml.new" "$folder/gateway.toml"
}
configuration a
key=$("$keygate" keys create --file "$folder/keys.toml" --id load 2>/dev/null)
"$keygate" run --allow-root --config "$folder/gateway.toml" 2>"$folder/log" & gateway=$!; children+=($gateway)
for _ in $(seq 100); do grep -q serving "$folder/log" && break; sleep 0.1; done
listen=$(grep -oE 'listen=\[[^]]+' "$folder/log" | cut -d[ -f2)
admin=$(grep -oE 'admin=[^ ]+' "$folder/log" | cut -d= -f2)

wrk -t1 -c16 -d600s -H "Authorization: Bearer $key" "http://$listen/p" >"$folder/wrk" & load=$!
generation() { curl -s "http://$admin/status" | grep -oE '"generation": [0-9]+' | grep -oE '[0-9]+'; }
start=$SECONDS
for round in $(seq "$reloads"); do
    configuration "$([ $((round % 2)) -eq 0 ] && echo a || echo b)"
    before=$(generation)
    kill -HUP $gateway
    for _ in $(seq 500); do [ "$(generation)" -gt "$before" ] && continue 2; sleep 0.005; done
    echo "reload $round did not happen"; tail -3 "$folder/log"; exit 1
done
kill -INT $load; wait $load || true
curl -s "http://$admin/metrics" >"$folder/metrics"
if command -v promtool >/dev/null; then promtool check metrics <"$folder/metrics"; fi

cat "$folder/wrk"
served=$(grep -E '^keygate_requests_total\{code="200",provider="p",reason="",route="r"\}' "$folder/metrics" | grep -oE '[0-9]+$')
others=$(grep -E '^keygate_requests_total' "$folder/metrics" | grep -vE 'code="200",provider="p",reason=""|reason="client_closed"' || true)
echo "$(generation) configurations in $((SECONDS - start)) s, $served requests with status 200"
if grep -qE 'Socket errors|Non-2xx' "$folder/wrk" || [ -n "$others" ]; then
    echo "FAILED: requests were lost or refused"; echo "$others"; exit 1
fi
[ "$(generation)" -gt "$reloads" ] && [ "$served" -gt "$reloads" ]
echo "1 passed, 0 failed"
