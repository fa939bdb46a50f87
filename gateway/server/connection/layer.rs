//! What a layer on a client's stream has of the stream below it: everything that Pingora asks but reading and writing.

/// Makes `$layer<S>`, which has a field `stream: S`, an `IO` of Pingora's. Reading and writing are the layer's own.
macro_rules! delegate_io {
    ($layer:ident) => {
        const _: () = {
            use std::sync::Arc;

            use pingora_core::protocols::raw_connect::ProxyDigest;
            use pingora_core::protocols::tls::SslDigest;
            use pingora_core::protocols::{
                ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown,
                SocketDigest, Ssl, TimingDigest, UniqueID,
            };

            #[async_trait::async_trait]
            impl<S: IO> Shutdown for $layer<S> {
                async fn shutdown(&mut self) {
                    self.stream.shutdown().await;
                }
            }

            impl<S> Peek for $layer<S> {}

            impl<S: IO> UniqueID for $layer<S> {
                fn id(&self) -> i32 {
                    self.stream.id()
                }
            }

            impl<S: IO> Ssl for $layer<S> {
                fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
                    self.stream.get_ssl_digest()
                }

                fn selected_alpn_proto(&self) -> Option<ALPN> {
                    self.stream.selected_alpn_proto()
                }
            }

            impl<S: IO> GetTimingDigest for $layer<S> {
                fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
                    self.stream.get_timing_digest()
                }
            }

            impl<S: IO> GetProxyDigest for $layer<S> {
                fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
                    self.stream.get_proxy_digest()
                }
            }

            impl<S: IO> GetSocketDigest for $layer<S> {
                fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
                    self.stream.get_socket_digest()
                }
            }
        };
    };
}

pub(crate) use delegate_io;
