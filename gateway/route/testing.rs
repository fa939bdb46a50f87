//! Routes and providers for the tests of this folder.

use std::sync::{Arc, LazyLock};

use super::{Access, HostPattern, Overlap, PathPrefix, Route, Target, Targets};
use crate::metrics::Metrics;
use crate::origin::{BaseUrl, HttpVersion, Resolver, Timeouts};
use crate::provider::{Kind, Paths, Provider, ProviderSpec, Stripped, TokenSource};
use crate::usage::Metering;

/// A provider on this machine with the base path `base`.
pub(super) fn provider(kind: &str, base: &str) -> Arc<Provider> {
    let base_url = BaseUrl::parse(&format!("http://127.0.0.1{base}")).unwrap();
    let kind = Kind::named(kind).unwrap();
    let fill = |name: &str| (name == "deployment").then(|| "D".to_owned());
    let spec = ProviderSpec {
        name: "p".into(),
        kind,
        sni: base_url.host.clone(),
        paths: Paths::new(kind, &base_url, None, &fill),
        base_url,
        ca: None,
        auth_header: http::header::AUTHORIZATION,
        auth_prefix: String::new(),
        bearer: None,
        token: TokenSource::None,
        headers: Vec::new(),
        redirect_hosts: Vec::new(),
        proxy: None,
        http: HttpVersion::Http1,
        timeouts: Timeouts::default(),
    };
    let addresses = Resolver::default().addresses("127.0.0.1", 80);
    Arc::new(Provider::build(spec, addresses).unwrap())
}

pub(super) fn route(name: &str, host: &str, path: &str, provider: &Arc<Provider>) -> Route {
    static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics::new().unwrap());
    Route {
        name: name.into(),
        hosts: vec![match host {
            "*" => HostPattern::Any,
            host => HostPattern::parse(host).unwrap(),
        }],
        path: PathPrefix::parse(if path.is_empty() { "/" } else { path }).unwrap(),
        targets: Targets::one(Target {
            provider: provider.clone(),
            metrics: METRICS.target(name, "p"),
            limits: Arc::default(),
        }),
        dialect: provider.kind.error_format,
        token_headers: Vec::new(),
        access: Access::Open,
        websocket: false,
        stripped: Stripped::default(),
        templates: Vec::new(),
        cors: None,
        metering: Metering::default(),
        metric_models: ["m", "m-*", "*-x"].map(str::to_owned).into(),
        limits: Arc::default(),
        overlap: Overlap::default(),
    }
}
