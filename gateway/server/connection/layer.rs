//! Delegation for layers around a client's stream: what Pingora and Tokio require of a stream besides the methods that
//! a layer changes.

/// Implements Pingora's stream traits for `$layer<S>`, whose field `stream: S` is an `IO`. The layer itself implements
/// `AsyncRead` and `AsyncWrite`.
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

/// The methods of `AsyncWrite` but `poll_shutdown`, delegated to the field `stream`. Vectored writes are delegated too:
/// the default would split a chunk's size, data and end into three TLS records or packets.
macro_rules! delegate_writes {
    () => {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::pin::Pin::new(&mut self.stream).poll_write(context, bytes)
        }

        fn poll_write_vectored(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
            chunks: &[std::io::IoSlice<'_>],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::pin::Pin::new(&mut self.stream).poll_write_vectored(context, chunks)
        }

        fn is_write_vectored(&self) -> bool {
            self.stream.is_write_vectored()
        }

        fn poll_flush(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::pin::Pin::new(&mut self.stream).poll_flush(context)
        }
    };
}

pub(crate) use {delegate_io, delegate_writes};
