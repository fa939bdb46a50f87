//! `gateway.toml` as written: every value where it stands, nothing interpreted beyond its type.
//!
//! Each setting is declared once, with its type, its default, when a change of it takes effect, and its text. The
//! declaration makes the field, the name that the reader knows, and the row in the table of settings. To add a setting,
//! add a row here, show it in `conf/gateway.toml`, and run the tests with `KEYGATE_WRITE_REFERENCE=1`, which writes
//! `docs/settings.md` and `conf/keygate.schema.json` anew.

use std::time::Duration;

pub(super) use super::entry::Pairs;
use super::entry::{Entry, Given};
use super::scope::ScopeFile;
use super::settings::{Effect, Fallback, Setting};
use crate::document::{ByteSize, Document, Located, Location, OneOrMany, Problems, Section};

/// Whether the word in the column of defaults is `required`.
macro_rules! is_required {
    (required) => {
        true
    };
    ($other:ident) => {
        false
    };
}

/// What the word in the column of defaults makes of the value behind it.
macro_rules! fallback {
    (default $value:literal) => {
        Fallback::Value($value)
    };
    (example $value:literal) => {
        Fallback::Example($value)
    };
    (required $value:literal) => {
        Fallback::Required($value)
    };
}

/// What the word in the column of effects means.
macro_rules! effect {
    (reload) => {
        Effect::Reload
    };
    (restart) => {
        Effect::Restart
    };
}

/// Declares sections: for each one its struct with a field per setting, how it is read, and its rows in the table.
///
/// A row of `settings` is `name: type = default|example|required "value as TOML", reload|restart, "text";`. `given` are
/// values that the caller hands over. `sections` are tables that are the same left out and empty, `optional` ones are
/// not, `named` ones hold tables under names of the user's choice, and a `list` is an array of tables.
macro_rules! sections {
    ($(
        $(#[$doc:meta])*
        $file:ident = $section:literal {
            $(given { $($given:ident: $given_type:ty,)* })?
            settings { $(
                $name:ident: $type:ty = $word:ident $value:literal, $effect:ident, $text:literal;
            )* }
            $(sections { $($inner:ident: $inner_type:ident,)* })?
            $(optional { $($table:ident: $table_type:ident,)* })?
            $(named { $($named:ident: $named_type:ident,)* })?
            $(list { $($list:ident: $list_type:ident,)* })?
        }
    )*) => {
        $(
            $(#[$doc])*
            pub(super) struct $file {
                $($(pub(super) $given: $given_type,)*)?
                $(pub(super) $name: $type,)*
                $($(pub(super) $inner: $inner_type,)*)?
                $($(pub(super) $table: Option<$table_type>,)*)?
                $($(pub(super) $named: Vec<$named_type>,)*)?
                $($(pub(super) $list: Vec<$list_type>,)*)?
            }

            impl $file {
                fn read($($($given: $given_type,)*)? mut s: Section<'_>) -> Self {
                    let read = Self {
                        $($($given,)*)?
                        $($name: <$type as Entry>::read(&mut s, stringify!($name), is_required!($word)),)*
                        $($($inner: $inner_type::read(s.section_or_empty(stringify!($inner))),)*)?
                        $($($table: s.section(stringify!($table)).map($table_type::read),)*)?
                        $($($named: s
                            .named(stringify!($named))
                            .into_iter()
                            .map(|(name, section)| $named_type::read(name, section))
                            .collect(),)*)?
                        $($($list: s
                            .list(stringify!($list))
                            .into_iter()
                            .map(|section| $list_type::read(section.at().clone(), section))
                            .collect(),)*)?
                    };
                    s.finish();
                    read
                }
            }
        )*

        /// Every setting, in the order of `conf/gateway.toml`.
        pub const SETTINGS: &[Setting] = &[$($(
            Setting {
                section: $section,
                name: stringify!($name),
                kind: <$type as Entry>::KIND,
                default: fallback!($word $value),
                effect: effect!($effect),
                text: $text,
            },
        )*)*];
    };
}

sections! {
    /// The whole file.
    GatewayFile = "" {
        settings {}
        sections {
            server: ServerFile,
            keys: KeysFile,
            usage: UsageFile,
            ledger: LedgerFile,
        }
        optional {
            tracing: TracingFile,
        }
        named {
            providers: ProviderFile,
        }
        list {
            routes: RouteFile,
            limits: LimitFile,
        }
    }

    /// Where to listen, and how much to take.
    ServerFile = "server" {
        settings {
            listen: Given<OneOrMany> = default "\"127.0.0.1:8080\"", restart,
                "where clients connect: an address with its port, a list of them, or \"systemd\" for the sockets that systemd hands over";
            admin: Given<String> = default "\"127.0.0.1:9090\"", restart,
                "the listener of /metrics, /healthz, /readyz and /status: a loopback or private address";
            admin_hosts: Given<OneOrMany> = default "[]", reload,
                "a list of names that requests to the admin listener may use, beside its address and localhost: [\"keygate.internal\"]";
            plain_http: Given<bool> = default "false", restart,
                "true: clients' keys may arrive unencrypted at a public address, because something in front ends TLS";
            strip_headers: Given<OneOrMany> = default "[]", reload,
                "a list of request headers that no provider gets: names, or prefixes with a `*` behind them: [\"x-corp-identity\", \"x-corp-*\"]";
            trusted_proxies: Given<OneOrMany> = default "[]", reload,
                "a list of the networks of load balancers in front, which report the client's address: [\"10.0.0.0/8\", \"2001:db8::/32\"]";
            client_ip_header: Given<String> = example "\"X-Forwarded-For\"", reload,
                "the header in which trusted_proxies report it: also \"Forwarded\" or \"X-Real-IP\"; the last address counts that is not one of theirs";
            proxy_protocol: Given<bool> = default "false", reload,
                "true: trusted_proxies report it at the start of each connection instead, by the PROXY protocol, version 1 or 2";
            proxy: Given<String> = default "\"none\"", reload,
                "the way to providers by https: \"http://proxy.corp:3128\" is an HTTP proxy that takes CONNECT; \"env\": as HTTPS_PROXY and NO_PROXY say at the start";
            proxy_token: Given<String> = example "\"env:PROXY_TOKEN\"", reload,
                "where the proxy's `user:password` is, or `Basic ...`";
            threads: Given<usize> = default "0", restart,
                "serving threads; 0: one per core, four at least; each has its own connections to providers";
            h2c: Given<bool> = default "false", restart,
                "true: HTTP/2 without TLS, for clients that begin with it";
            access_log: Given<bool> = default "true", restart,
                "true: one JSON line per request on standard output";
            log_level: Given<String> = default "\"info\"", restart,
                "the least severe events on standard error: error, warn or info; 20 lines of a kind in 10 s";
            dns_refresh: Given<Duration> = default "\"30s\"", restart,
                "how often the names of providers are resolved again";
        }
        sections {
            limits: LimitsFile,
            timeouts: ServerTimeoutsFile,
        }
        optional {
            tls: TlsFile,
        }
    }

    /// TLS for clients.
    TlsFile = "server.tls" {
        settings {
            certificate: Given<String> = required "\"cert.pem\"", restart,
                "the certificate chain, a PEM file: read again when its content changes; HTTP/2 comes with it";
            key: Given<String> = required "\"file:key.pem\"", reload,
                "where the certificate's private key is: file:PATH or credential:NAME";
            client_ca: Given<String> = example "\"clients.pem\"", restart,
                "clients have to show a certificate of this authority, a PEM file";
        }
    }

    /// How much to take.
    LimitsFile = "server.limits" {
        settings {
            request_body: Given<ByteSize> = default "\"32MiB\"", reload,
                "the largest request body; 413 above";
            held_body: Given<ByteSize> = default "\"1MiB\"", reload,
                "a request body up to this size is read whole before it goes up, sent in few writes, and kept until the provider responds, so that it can be sent again; a longer one goes up as it comes. \"0B\": none is held";
            held_bodies: Given<ByteSize> = default "\"256MiB\"", reload,
                "the most bytes of such bodies at once; with these in use, a body goes up as it comes";
            header_bytes: Given<ByteSize> = default "\"16KiB\"", reload,
                "the largest request head; 431 above";
            header_count: Given<usize> = default "100", reload,
                "the most headers of a request; 431 above";
            requests_per_connection: Given<usize> = default "100000", restart,
                "after so many requests a client's connection is closed, and the last response says so";
            idle_connections: Given<usize> = default "1024", restart,
                "unused connections to providers that are kept, all threads together";
            body_rate: Given<ByteSize> = default "\"240B\"", reload,
                "the fewest bytes per second of a request body, on average, after ten seconds; 408 below. \"0B\": any";
            connections: Given<usize> = default "50000", reload,
                "connections of clients; one more is closed at once. Fewer where there are too few open files";
            connections_per_address: Given<usize> = default "1000", reload,
                "the most connections of one public address (an IPv6 /64 counts as one); behind `client_ip_header`, the most concurrent requests of one client, 429 above";
            failed_keys_per_address: Given<usize> = default "6000", reload,
                "the most wrong keys a minute from one public address; above it every request is 429, even with a valid key. 0: no limit";
        }
    }

    /// How long clients may take, and how long an end takes.
    ServerTimeoutsFile = "server.timeouts" {
        settings {
            keepalive: Given<Duration> = default "\"60s\"", reload,
                "an unused connection of a client";
            client_head: Given<Duration> = default "\"30s\"", reload,
                "a request's head, from its first byte to its last; the first one with the TLS handshake";
            client_read: Given<Duration> = default "\"60s\"", reload,
                "a pause within a request's body";
            client_write: Given<Duration> = default "\"60s\"", reload,
                "how long a client may leave a response unread; at most 0.9 of the provider's `idle`";
            shutdown_delay: Given<Duration> = default "\"0s\"", restart,
                "after SIGTERM, how long /readyz says no before listening ends";
            drain: Given<Duration> = default "\"60s\"", restart,
                "after SIGTERM, how long requests in flight may take";
            upgrade_drain: Given<Duration> = default "\"1h\"", restart,
                "after `keygate upgrade`, how long the requests of the previous process may take";
        }
    }

    /// Client keys.
    KeysFile = "keys" {
        settings {
            file: Given<String> = default "\"keys.toml\"", reload,
                "the key file, which `keygate keys` edits";
            headers: Given<OneOrMany> = default "[\"authorization\", \"api-key\", \"x-api-key\", \"x-goog-api-key\"]", reload,
                "the headers in which a client may show its key; `?key=` is always one more place";
            revoked_streams: Given<String> = default "\"finish\"", reload,
                "what happens to a response in progress when its key is disabled, removed or expires: finish, or cut";
            metric_keys: Given<usize> = default "1000", reload,
                "how many keys, the file's first, have metrics of their own";
        }
    }

    /// What responses cost, and what all limits have in common.
    UsageFile = "usage" {
        settings {
            prices: Given<String> = example "\"prices.toml\"", reload,
                "the price file: conf/prices.toml shows how";
            timezone: Given<String> = default "\"UTC\"", reload,
                "the time zone in which the days, weeks and months of limits begin: a name of the IANA database, such as \"Europe/Berlin\"";
            week_starts: Given<String> = default "\"monday\"", reload,
                "the first day of a week";
            budget_status: Given<usize> = default "402", reload,
                "the status of a response that says that a budget is spent: 402, 403 or 429. SDKs repeat requests after 429";
            limit_headers: Given<String> = default "\"rates\"", reload,
                "which limits responses report to clients: rates, all (the rest of budgets as well), or none";
            retention: Given<Duration> = default "\"400d\"", reload,
                "how long the ledger keeps its history";
        }
    }

    /// Where the use of limits is remembered.
    LedgerFile = "ledger" {
        settings {
            store: Given<String> = example "\"/var/lib/keygate/ledger.db\"", restart,
                "the file of the ledger, an SQLite database; left out: what was used is forgotten at the next start";
        }
    }

    /// Where spans go, and which.
    TracingFile = "tracing" {
        settings {
            endpoint: Given<String> = example "\"http://127.0.0.1:4318\"", restart,
                "an OpenTelemetry collector (OTLP over HTTP); left out: no spans";
            headers: Pairs = default "{}", restart,
                "headers for the collector: { Authorization = \"env:OTLP_TOKEN\" }";
            sample: Given<String> = default "\"100%\"", restart,
                "the share of the requests that come without a trace of their own";
            service: Given<String> = default "\"keygate\"", restart,
                "the name of this gateway in its spans";
            plain_http: Given<bool> = default "false", restart,
                "true: plain http to the collector also at names and 100.64.0.0/10, as for a provider";
        }
    }

    /// A provider, under a name of the user's choice.
    ProviderFile = "providers.*" {
        given {
            name: Located<String>,
        }
        settings {
            kind: Given<String> = required "\"openai\"", reload,
                "the API that it speaks; custom: anything that speaks OpenAI's (vLLM, llama.cpp, ...), at a base_url";
            token: Given<String> = example "\"env:OPENAI_API_KEY\"", reload,
                "where the token is, never the token itself: env:, file:, credential:, key:, passthrough, inline: or none";
            base_url: Given<String> = example "\"https://api.openai.com/v1\"", reload,
                "where it is, if not at the kind's own address; plain http to loopback and private addresses only";
            plain_http: Given<bool> = default "false", reload,
                "true: plain http also to names and 100.64.0.0/10, never to public addresses";
            default_endpoint: Given<String> = example "\"/v1/chat/completions\"", reload,
                "where a route's bare prefix goes";
            auth_header: Given<String> = example "\"authorization\"", reload,
                "the header that the token goes in, if not the kind's";
            auth_prefix: Given<String> = example "\"Bearer \"", reload,
                "the text before the token, if not the kind's";
            sni: Given<String> = example "\"api.openai.com\"", reload,
                "the name that its certificate must have, if not the host of its URL";
            http: Given<String> = default "\"1.1\"", reload,
                "the HTTP version: 1.1, 2, or auto: 2 where the provider offers it";
            headers: Pairs = default "{}", reload,
                "headers that every request to it gets: { OpenAI-Organization = \"org-...\" }";
            redirect_hosts: Given<OneOrMany> = default "[]", reload,
                "a list of other hosts that it may redirect clients to: names, `*.example.com`, or either with a port; else 502";
            proxy: Given<String> = example "\"none\"", reload,
                "the way to this provider, instead of that in [server]";
            proxy_token: Given<String> = example "\"env:PROXY_TOKEN\"", reload,
                "where the credentials of this proxy are";
            ca: Given<String> = example "\"ca.pem\"", reload,
                "the certificates to trust instead of the system's, a PEM file";
            endpoint: Given<String> = example "\"https://NAME.openai.azure.com\"", reload,
                "azure-openai: where the resource is, in the place of base_url";
            deployment: Given<String> = example "\"gpt-4o\"", reload,
                "azure-openai: the deployment for clients that name none";
            api_version: Given<String> = example "\"2024-10-21\"", reload,
                "azure-openai, and gemini (\"v1beta\"): the version of the API";
            model: Given<String> = example "\"gemini-2.5-flash\"", reload,
                "gemini: the model that responds at a route's bare prefix";
        }
        sections {
            timeouts: ProviderTimeoutsFile,
        }
    }

    /// How long to wait for a provider.
    ProviderTimeoutsFile = "providers.*.timeouts" {
        settings {
            connect: Given<Duration> = default "\"5s\"", reload,
                "a connection, and as long again for TLS";
            first_byte: Given<Duration> = default "\"10m\"", reload,
                "from the last byte of the request to the head of the response";
            idle: Given<Duration> = default "\"5m\"", reload,
                "a pause within a response; at most first_byte";
            total: Given<Duration> = default "\"1h\"", reload,
                "the whole exchange; \"0s\" is without end";
            write: Given<Duration> = default "\"60s\"", reload,
                "a chunk of the request that the provider does not take";
            pool_idle: Given<Duration> = default "\"45s\"", reload,
                "an unused connection; less than the provider keeps one";
        }
    }

    /// Which requests go where, and who may send them.
    RouteFile = "routes[]" {
        given {
            at: Location,
        }
        settings {
            name: Given<String> = required "\"openai\"", reload,
                "the name of the route, a metric label";
            path: Given<String> = required "\"/openai\"", reload,
                "/openai -> the default endpoint; /openai/... -> the same path there";
            provider: Given<String> = required "\"openai\"", reload,
                "the provider that requests go to";
            host: Given<OneOrMany> = example "\"llm.example.com\"", reload,
                "the host that clients name: or \"*.example.com\", or a list; left out: any";
            keys: Option<Pairs> = example "{ team = \"search\" }", reload,
                "labels that a key must have; left out: any valid key";
            auth: Given<String> = default "\"key\"", reload,
                "\"none\": no key is needed";
            websocket: Given<bool> = example "false", reload,
                "whether connections may be upgraded; left out: if the kind's API does; false: 403, and for `.../responses` 426, on which Codex turns to HTTP";
            allow_headers: Given<OneOrMany> = example "[\"OpenAI-Project\"]", reload,
                "a list of headers by which clients may choose the account that pays; the others are taken out";
            meter_streams: Given<String> = default "\"reported\"", reload,
                "how the tokens of a stream are counted: as it reports them; \"estimated\": if it reports none, an event counts as a token; \"exact\": OpenAI's are made to report them, unseen by the client; \"off\": streams and WebSockets are not read";
            metric_models: Given<OneOrMany> = default "[]", reload,
                "a list of models that the metrics tell apart: [\"gpt-4o\", \"gpt-4o-*\"]; others are \"other\"";
        }
        sections {
            transform: TransformFile,
        }
        optional {
            cors: CorsFile,
        }
    }

    /// Which pages in browsers may use a route.
    CorsFile = "routes[].cors" {
        settings {
            origins: Given<OneOrMany> = required "[\"https://app.example.com\"]", reload,
                "a list of the origins of pages that may use the route and read its responses, \"*\" for all; a preflight needs no key";
        }
    }

    /// Headers that a route makes for its provider.
    TransformFile = "routes[].transform" {
        settings {
            headers: Pairs = example "{ X-Team = \"{{ team }}\" }", reload,
                "headers for the provider, made of extractors; one that cannot be found removes the header, and so does an empty text";
        }
        named {
            extractors: ExtractorFile,
        }
    }

    /// A value for headers, under a name of the user's choice.
    ExtractorFile = "routes[].transform.extractors.*" {
        given {
            name: Located<String>,
        }
        settings {
            header: Given<String> = example "\"x-team\"", reload,
                "the header of the client to take it from";
            regex: Given<String> = default "\".*\"", reload,
                "the expression that the header's value must match";
            group: Given<usize> = default "0", reload,
                "the group of the expression to take";
            metadata: Given<String> = example "\"tier\"", reload,
                "the entry of the key's metadata to take it from, instead of a header";
        }
    }

    /// A limit of requests, tokens, money or concurrency.
    LimitFile = "limits[]" {
        given {
            at: Location,
        }
        settings {
            name: Given<String> = required "\"search-team\"", reload,
                "the name of the limit, which clients that it refuses are told, and a metric label";
            of: Given<ScopeFile> = required "{ label = \"team\", value = \"search\" }", reload,
                "whose use is counted together: \"key\" (each key for itself), \"route\", \"provider\", \"gateway\", or the keys with a label: { label = \"team\", each = true } counts each value for itself";
            routes: Given<OneOrMany> = example "[\"openai\"]", reload,
                "the routes whose requests count; left out: all";
            models: Given<OneOrMany> = example "[\"gpt-5*\"]", reload,
                "the models whose requests count: names, or prefixes with a `*` behind them; left out: all";
            requests: Given<OneOrMany> = example "\"6000 per minute\"", reload,
                "how many requests: per second, minute or hour in a window that slides; per day, week, month, quarter or year in the calendar; or a list: [\"100 per minute\", \"1M per month\"]";
            tokens: Given<OneOrMany> = example "\"20M per minute\"", reload,
                "how many tokens, input and output together";
            input_tokens: Given<OneOrMany> = example "\"15M per minute\"", reload,
                "how many tokens of input";
            output_tokens: Given<OneOrMany> = example "\"5M per minute\"", reload,
                "how many tokens of output";
            budget: Given<OneOrMany> = example "[\"100.00 per day\", \"2000.00 per month\"]", reload,
                "how much money, in the price file's currency";
            parallel: Given<usize> = example "200", reload,
                "how many requests at once";
            burst: Given<Duration> = example "\"10s\"", reload,
                "how much may come at once after a pause: what the rate permits in this time; left out: all of a window";
            reserve: Given<String> = default "\"estimate\"", reload,
                "what is taken from tokens and budgets before a request is sent: none, estimate (what such requests used so far), or max (the most that it can use)";
            unbounded: Given<String> = default "\"estimate\"", reload,
                "with reserve = \"max\", what happens to a request whose use has no bound (files by reference, stored conversations): estimate, or refuse";
            mode: Given<String> = default "\"enforce\"", reload,
                "enforce, or observe: nothing is refused, and the metrics show what would have been";
            over_budget_streams: Given<String> = default "\"finish\"", reload,
                "what happens to a stream that goes on when nothing is left: finish, or cut";
            soft_budget: Given<OneOrMany> = example "[\"80%\", \"95%\"]", reload,
                "the shares of budgets, and of amounts per day or longer, at which a warning is given";
            cached_tokens: Given<bool> = default "false", reload,
                "true: input that the provider read from its cache counts as well";
            unpriced: Given<String> = default "\"refuse\"", reload,
                "what a budget does with a model that has no price: refuse (403), or allow, which costs nothing then";
            unmetered: Given<String> = default "\"refuse\"", reload,
                "what limits of tokens and budgets do with requests that are billed later, such as batches: refuse, or allow";
        }
    }
}

impl GatewayFile {
    pub(super) fn parse(document: &Document, problems: &Problems) -> Self {
        Self::read(document.root(problems))
    }
}
