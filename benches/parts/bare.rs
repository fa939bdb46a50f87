//! A minimal Pingora proxy for the same job: it looks up the key by its SHA-256, sets the provider's token and increments
//! one counter. keygate is measured against it; it is not for use.
//!
//!     bare LISTEN PROVIDER THREADS KEYS    (KEYS: a file with one key per line)

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "a part of a benchmark fails by panicking"
)]

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, COOKIE, HOST};
use pingora::http::RequestHeader;
use pingora_core::Result;
use pingora_core::modules::http::HttpModules;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use prometheus::IntCounter;
use sha2::{Digest, Sha256};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

struct Bare {
    keys: HashSet<[u8; 32], ahash::RandomState>,
    provider: HttpPeer,
    requests: IntCounter,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<bool> {
        self.requests.inc();
        let given = session.req_header().headers.get(AUTHORIZATION);
        let key = given.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        if key.is_some_and(|key| self.keys.contains(&<[u8; 32]>::from(Sha256::digest(key)))) {
            return Ok(false);
        }
        session.respond_error(401).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _session: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.provider.clone()))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        upstream: &mut RequestHeader,
        (): &mut (),
    ) -> Result<()> {
        upstream.remove_header("api-key");
        upstream.remove_header("x-api-key");
        upstream.remove_header(&COOKIE);
        upstream.insert_header(AUTHORIZATION, "Bearer provider-token")?;
        upstream.insert_header(HOST, "provider.test")?;
        upstream.set_raw_path(b"/v1/chat/completions")
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, provider, threads, keys] = &arguments[..] else {
        return eprintln!("bare LISTEN PROVIDER THREADS KEYS");
    };
    let keys = std::fs::read_to_string(keys).unwrap();
    let digests = keys.lines().map(|key| Sha256::digest(key).into());
    let mut peer = HttpPeer::new(
        provider.parse::<SocketAddr>().unwrap(),
        false,
        String::new(),
    );
    peer.options.idle_timeout = Some(Duration::from_secs(45));
    let bare = Bare {
        keys: digests.collect(),
        provider: peer,
        requests: IntCounter::new("requests_total", "Requests.").unwrap(),
    };
    let conf = ServerConf {
        threads: threads.parse().unwrap(),
        upstream_keepalive_pool_size: 1024,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, bare);
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever();
}
