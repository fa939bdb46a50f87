#!/usr/bin/env bash
# Pastes every command that `keygate demo` prints into a shell, as a newcomer would, and checks the output.
#
#   tests/demo/pasted.sh path/to/keygate
set -euo pipefail
keygate=$1
folder=$(mktemp -d)
"$keygate" demo --listen 127.0.0.1:0 --admin 127.0.0.1:0 >"$folder/output" 2>"$folder/log" &
demo=$!
trap 'kill -INT $demo 2>/dev/null || true; rm -rf "$folder"' EXIT
for _ in $(seq 100); do grep -q Ctrl-C "$folder/output" && break; sleep 0.1; done

eval "$(grep -o 'export KEY=.*' "$folder/output")"
export KEY
passed=0
expect() { # what, pattern, line of the demo
    local got
    got=$(bash -c "$3" 2>&1)
    if ! grep -qE "$2" <<<"$got"; then
        printf 'FAILED %s\n%s\n%s\n' "$1" "$3" "$got"
        exit 1
    fi
    passed=$((passed + 1))
    echo "ok: $1"
}
mapfile -t lines < <(grep -oE 'curl -.*' "$folder/output")
[ "${#lines[@]}" -eq 5 ] || { echo "the demo prints ${#lines[@]} curl lines"; exit 1; }
expect 'a response' 'credential that reached me was ..Bearer provider-token-' "${lines[0]}"
expect 'a stream' '^data: \[DONE\]' "${lines[1]}"
expect 'a 401' '^HTTP/1.1 401 ' "${lines[2]}"
expect 'the body of the 401' '"code":"invalid_api_key"' "${lines[2]}"
expect 'the metrics' '^keygate_requests_total\{code="401"' "${lines[3]}"
expect 'the status' '"state": "Accepted"' "${lines[4]}"
[ "$(wc -l <"$folder/log")" -eq 4 ] || { echo "the number of access lines is not that of the requests"; cat "$folder/log"; exit 1; }
! grep -q "$KEY" "$folder/log" || { echo "the key is in the log"; exit 1; }
echo "$passed passed, 0 failed"
