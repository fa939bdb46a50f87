//! Gives each exchange of an HTTP application the watchdog that it runs under.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::server::ShutdownWatch;

use super::handle::{CURRENT, ConnectionTimeouts, Watchdog};
use super::run::run;

/// An HTTP application whose exchanges end by their deadlines: those over HTTP/1.1 by their connection's, see
/// [`run_http1`](super::run_http1), those over HTTP/2 by one of their own.
pub(crate) struct Bounded<A, T> {
    app: Arc<A>,
    options: HttpServerOptions,
    timeouts: T,
}

impl<A, T: Fn() -> ConnectionTimeouts> Bounded<A, T> {
    /// Runs the exchanges of `app` under a watchdog. `timeouts` are those of an exchange over HTTP/2 until its head is
    /// complete; an HTTP/1.1 connection sets its own for each request. `options` replace those of `app`.
    pub(crate) fn new(app: Arc<A>, options: HttpServerOptions, timeouts: T) -> Self {
        Self {
            app,
            options,
            timeouts,
        }
    }
}

#[async_trait]
impl<A, T> HttpServerApp for Bounded<A, T>
where
    A: HttpServerApp + Send + Sync + 'static,
    T: Fn() -> ConnectionTimeouts + Send + Sync + 'static,
{
    // Written as `async_trait` would write it: its own form adds a boxed future around this one.
    fn process_new_http<'a, 'b, 'c>(
        self: &'a Arc<Self>,
        session: ServerSession,
        shutdown: &'b ShutdownWatch,
    ) -> Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        let exchange = self.app.process_new_http(session, shutdown);
        if CURRENT.try_with(|_| ()).is_ok() {
            return exchange;
        }
        let watchdog = Watchdog::new();
        watchdog.begin((self.timeouts)(), None);
        let bounded = run(watchdog, exchange);
        Box::pin(async move { bounded.await.flatten() })
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.app.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.app.http_cleanup().await;
    }
}
