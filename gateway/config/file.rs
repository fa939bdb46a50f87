//! `gateway.toml` as written: every value where it stands, nothing interpreted beyond its type.

use std::time::Duration;

use crate::document::{ByteSize, Document, Located, OneOrMany, Problems, Section};

/// A list of names with the values behind them, as written.
pub(super) type Pairs = Vec<(Located<String>, Located<String>)>;

pub(super) struct GatewayFile {
    pub server: ServerFile,
    pub keys: KeysFile,
    pub usage: UsageFile,
    pub tracing: Option<TracingFile>,
    pub providers: Vec<ProviderFile>,
    pub routes: Vec<RouteFile>,
}

pub(super) struct ServerFile {
    pub listen: Option<Located<OneOrMany>>,
    pub admin: Option<Located<String>>,
    pub admin_hosts: Option<Located<OneOrMany>>,
    pub threads: Option<Located<usize>>,
    pub h2c: Option<Located<bool>>,
    pub access_log: Option<Located<bool>>,
    pub log_level: Option<Located<String>>,
    pub dns_refresh: Option<Located<Duration>>,
    pub plain_http: Option<Located<bool>>,
    pub strip_headers: Option<Located<OneOrMany>>,
    pub trusted_proxies: Option<Located<OneOrMany>>,
    pub proxy_protocol: Option<Located<bool>>,
    pub client_ip_header: Option<Located<String>>,
    pub proxy: Option<Located<String>>,
    pub proxy_token: Option<Located<String>>,
    pub tls: Option<TlsFile>,
    pub limits: LimitsFile,
    pub timeouts: ServerTimeoutsFile,
}

pub(super) struct TlsFile {
    pub certificate: Option<Located<String>>,
    pub key: Option<Located<String>>,
    pub client_ca: Option<Located<String>>,
}

#[derive(Default)]
pub(super) struct LimitsFile {
    pub request_body: Option<Located<ByteSize>>,
    pub header_bytes: Option<Located<ByteSize>>,
    pub header_count: Option<Located<usize>>,
    pub requests_per_connection: Option<Located<usize>>,
    pub idle_connections: Option<Located<usize>>,
    pub connections: Option<Located<usize>>,
    pub connections_per_address: Option<Located<usize>>,
    pub failed_keys_per_address: Option<Located<usize>>,
    pub body_rate: Option<Located<ByteSize>>,
}

#[derive(Default)]
pub(super) struct ServerTimeoutsFile {
    pub keepalive: Option<Located<Duration>>,
    pub client_head: Option<Located<Duration>>,
    pub client_read: Option<Located<Duration>>,
    pub client_write: Option<Located<Duration>>,
    pub shutdown_delay: Option<Located<Duration>>,
    pub drain: Option<Located<Duration>>,
    pub upgrade_drain: Option<Located<Duration>>,
}

pub(super) struct KeysFile {
    pub file: Option<Located<String>>,
    pub headers: Option<Located<OneOrMany>>,
    pub revoked_streams: Option<Located<String>>,
    pub metric_keys: Option<Located<usize>>,
}

#[derive(Default)]
pub(super) struct UsageFile {
    pub prices: Option<Located<String>>,
}

pub(super) struct TracingFile {
    pub endpoint: Option<Located<String>>,
    pub headers: Pairs,
    pub sample: Option<Located<String>>,
    pub service: Option<Located<String>>,
    pub plain_http: Option<Located<bool>>,
}

pub(super) struct ProviderFile {
    pub name: Located<String>,
    pub kind: Option<Located<String>>,
    pub token: Option<Located<String>>,
    pub base_url: Option<Located<String>>,
    pub endpoint: Option<Located<String>>,
    pub deployment: Option<Located<String>>,
    pub api_version: Option<Located<String>>,
    pub model: Option<Located<String>>,
    pub default_endpoint: Option<Located<String>>,
    pub auth_header: Option<Located<String>>,
    pub auth_prefix: Option<Located<String>>,
    pub sni: Option<Located<String>>,
    pub ca: Option<Located<String>>,
    pub http: Option<Located<String>>,
    pub plain_http: Option<Located<bool>>,
    pub redirect_hosts: Option<Located<OneOrMany>>,
    pub proxy: Option<Located<String>>,
    pub proxy_token: Option<Located<String>>,
    pub headers: Pairs,
    pub timeouts: ProviderTimeoutsFile,
}

#[derive(Default)]
pub(super) struct ProviderTimeoutsFile {
    pub connect: Option<Located<Duration>>,
    pub first_byte: Option<Located<Duration>>,
    pub idle: Option<Located<Duration>>,
    pub total: Option<Located<Duration>>,
    pub write: Option<Located<Duration>>,
    pub pool_idle: Option<Located<Duration>>,
}

pub(super) struct RouteFile {
    pub at: crate::document::Location,
    pub name: Option<Located<String>>,
    pub host: Option<Located<OneOrMany>>,
    pub path: Option<Located<String>>,
    pub provider: Option<Located<String>>,
    /// `None` where it is left out, which is not the same as empty.
    pub keys: Option<Pairs>,
    pub auth: Option<Located<String>>,
    pub websocket: Option<Located<bool>>,
    pub allow_headers: Option<Located<OneOrMany>>,
    pub meter_streams: Option<Located<String>>,
    pub metric_models: Option<Located<OneOrMany>>,
    pub cors: Option<CorsFile>,
    pub extractors: Vec<ExtractorFile>,
    pub headers: Pairs,
}

pub(super) struct CorsFile {
    pub origins: Option<Located<OneOrMany>>,
}

pub(super) struct ExtractorFile {
    pub name: Located<String>,
    pub header: Option<Located<String>>,
    pub regex: Option<Located<String>>,
    pub group: Option<Located<usize>>,
    pub metadata: Option<Located<String>>,
}

impl GatewayFile {
    pub(super) fn read(document: &Document, problems: &Problems) -> Self {
        let mut root = document.root(problems);
        let server = ServerFile::read(root.section("server"));
        let keys = KeysFile::read(root.section("keys"));
        let usage = root
            .section("usage")
            .map(UsageFile::read)
            .unwrap_or_default();
        let tracing = root.section("tracing").map(TracingFile::read);
        let providers = root
            .named("providers")
            .into_iter()
            .map(|(name, s)| ProviderFile::read(name, s))
            .collect();
        let routes = root
            .list("routes")
            .into_iter()
            .map(RouteFile::read)
            .collect();
        root.finish();
        Self {
            server,
            keys,
            usage,
            tracing,
            providers,
            routes,
        }
    }
}

impl ServerFile {
    fn read(section: Option<Section<'_>>) -> Self {
        let Some(mut s) = section else {
            return Self {
                listen: None,
                admin: None,
                admin_hosts: None,
                threads: None,
                h2c: None,
                access_log: None,
                log_level: None,
                dns_refresh: None,
                plain_http: None,
                strip_headers: None,
                trusted_proxies: None,
                proxy_protocol: None,
                client_ip_header: None,
                proxy: None,
                proxy_token: None,
                tls: None,
                limits: LimitsFile::default(),
                timeouts: ServerTimeoutsFile::default(),
            };
        };
        let server = Self {
            listen: s.take("listen"),
            admin: s.take("admin"),
            admin_hosts: s.take("admin_hosts"),
            threads: s.take("threads"),
            h2c: s.take("h2c"),
            access_log: s.take("access_log"),
            log_level: s.take("log_level"),
            dns_refresh: s.take("dns_refresh"),
            plain_http: s.take("plain_http"),
            strip_headers: s.take("strip_headers"),
            trusted_proxies: s.take("trusted_proxies"),
            proxy_protocol: s.take("proxy_protocol"),
            client_ip_header: s.take("client_ip_header"),
            proxy: s.take("proxy"),
            proxy_token: s.take("proxy_token"),
            tls: s.section("tls").map(TlsFile::read),
            limits: s
                .section("limits")
                .map(LimitsFile::read)
                .unwrap_or_default(),
            timeouts: s
                .section("timeouts")
                .map(ServerTimeoutsFile::read)
                .unwrap_or_default(),
        };
        s.finish();
        server
    }
}

impl TlsFile {
    fn read(mut s: Section<'_>) -> Self {
        let tls = Self {
            certificate: s.require("certificate"),
            key: s.require("key"),
            client_ca: s.take("client_ca"),
        };
        s.finish();
        tls
    }
}

impl LimitsFile {
    fn read(mut s: Section<'_>) -> Self {
        let limits = Self {
            request_body: s.take("request_body"),
            header_bytes: s.take("header_bytes"),
            header_count: s.take("header_count"),
            requests_per_connection: s.take("requests_per_connection"),
            idle_connections: s.take("idle_connections"),
            connections: s.take("connections"),
            connections_per_address: s.take("connections_per_address"),
            failed_keys_per_address: s.take("failed_keys_per_address"),
            body_rate: s.take("body_rate"),
        };
        s.finish();
        limits
    }
}

impl ServerTimeoutsFile {
    fn read(mut s: Section<'_>) -> Self {
        let timeouts = Self {
            keepalive: s.take("keepalive"),
            client_head: s.take("client_head"),
            client_read: s.take("client_read"),
            client_write: s.take("client_write"),
            shutdown_delay: s.take("shutdown_delay"),
            drain: s.take("drain"),
            upgrade_drain: s.take("upgrade_drain"),
        };
        s.finish();
        timeouts
    }
}

impl KeysFile {
    fn read(section: Option<Section<'_>>) -> Self {
        let Some(mut s) = section else {
            return Self {
                file: None,
                headers: None,
                revoked_streams: None,
                metric_keys: None,
            };
        };
        let keys = Self {
            file: s.take("file"),
            headers: s.take("headers"),
            revoked_streams: s.take("revoked_streams"),
            metric_keys: s.take("metric_keys"),
        };
        s.finish();
        keys
    }
}

impl UsageFile {
    fn read(mut s: Section<'_>) -> Self {
        let usage = Self {
            prices: s.take("prices"),
        };
        s.finish();
        usage
    }
}

impl TracingFile {
    fn read(mut s: Section<'_>) -> Self {
        let tracing = Self {
            endpoint: s.take("endpoint"),
            headers: s.strings("headers"),
            sample: s.take("sample"),
            service: s.take("service"),
            plain_http: s.take("plain_http"),
        };
        s.finish();
        tracing
    }
}

impl ProviderFile {
    fn read(name: Located<String>, mut s: Section<'_>) -> Self {
        let provider = Self {
            name,
            kind: s.require("kind"),
            token: s.take("token"),
            base_url: s.take("base_url"),
            endpoint: s.take("endpoint"),
            deployment: s.take("deployment"),
            api_version: s.take("api_version"),
            model: s.take("model"),
            default_endpoint: s.take("default_endpoint"),
            auth_header: s.take("auth_header"),
            auth_prefix: s.take("auth_prefix"),
            sni: s.take("sni"),
            ca: s.take("ca"),
            http: s.take("http"),
            plain_http: s.take("plain_http"),
            redirect_hosts: s.take("redirect_hosts"),
            proxy: s.take("proxy"),
            proxy_token: s.take("proxy_token"),
            headers: s.strings("headers"),
            timeouts: s
                .section("timeouts")
                .map(ProviderTimeoutsFile::read)
                .unwrap_or_default(),
        };
        s.finish();
        provider
    }
}

impl ProviderTimeoutsFile {
    fn read(mut s: Section<'_>) -> Self {
        let timeouts = Self {
            connect: s.take("connect"),
            first_byte: s.take("first_byte"),
            idle: s.take("idle"),
            total: s.take("total"),
            write: s.take("write"),
            pool_idle: s.take("pool_idle"),
        };
        s.finish();
        timeouts
    }
}

impl RouteFile {
    fn read(mut s: Section<'_>) -> Self {
        let at = s.at().clone();
        let (extractors, headers) = match s.section("transform") {
            Some(mut transform) => {
                let extractors = transform.named("extractors");
                let headers = transform.strings("headers");
                transform.finish();
                (extractors, headers)
            }
            None => (Vec::new(), Vec::new()),
        };
        let route = Self {
            at,
            name: s.require("name"),
            host: s.take("host"),
            path: s.require("path"),
            provider: s.require("provider"),
            keys: s.has("keys").then(|| s.strings("keys")),
            auth: s.take("auth"),
            websocket: s.take("websocket"),
            allow_headers: s.take("allow_headers"),
            meter_streams: s.take("meter_streams"),
            metric_models: s.take("metric_models"),
            cors: s.section("cors").map(CorsFile::read),
            extractors: extractors
                .into_iter()
                .map(|(n, s)| ExtractorFile::read(n, s))
                .collect(),
            headers,
        };
        s.finish();
        route
    }
}

impl CorsFile {
    fn read(mut s: Section<'_>) -> Self {
        let cors = Self {
            origins: s.require("origins"),
        };
        s.finish();
        cors
    }
}

impl ExtractorFile {
    fn read(name: Located<String>, mut s: Section<'_>) -> Self {
        let extractor = Self {
            name,
            header: s.take("header"),
            regex: s.take("regex"),
            group: s.take("group"),
            metadata: s.take("metadata"),
        };
        s.finish();
        extractor
    }
}
